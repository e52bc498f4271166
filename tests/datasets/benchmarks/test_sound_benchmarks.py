"""Benchmarks of sounds in the forms in which they are published."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from savs.datasets import DatasetError, MediaFolder, find_benchmark, read_examples

CLOSE = " Answer with the class name."
CAPTION = "What caption does the given audio belong to?"
EVENT = "What audio event is present in this audio clip?"
SPOOFED = "Is this audio bonafide or spoofed? \n bonafide\n spoofed"
OPTIONS = f"{CAPTION}\nA. fireworks B. brushing_teeth C. sea_waves D. helicopter"
CLASSES = (
    'index,mid,display_name\n0,/m/03v3yw,"Keys jangling"\n1,/m/0k4j,Car\n2,/m/0bt9lr,"Dog, a"\n'
)
SEGMENTS = """# Segments csv created Sun Mar  5 10:54:25 2017
# num_ytids=2, num_segs=2, num_unique_labels=3, num_positive_labels=3
# YTID, start_seconds, end_seconds, positive_labels
-0RWZT-miFs, 420.000, 430.000, "/m/03v3yw,/m/0k4j"
--4gqARaEJE, 0.000, 10.000, "/m/0bt9lr"
"""
PROTOCOL = "LA_0079 LA_T_1138215 - - bonafide\nLA_0039 LA_E_2834763 - A11 spoof\n"
ESC = "filename,fold,target,category,esc10,src_file,take\n"
OF_CALM = {"wav": "/data/audio_16k/2-86160-A-27.wav", "question": OPTIONS, "answer": "B"}
SEEN = {"wav": "/a/0_FFqLukmHk_000080.flac", "video": "/v/0_FFqLukmHk_000080.mp4"}

FILES: dict[str, tuple[str, str, str, list[tuple[Any, ...]]]] = {
    "the table of ESC-50": (
        "esc50",
        "esc50.csv",
        f"{ESC}1-100032-A-0.wav,1,0,dog,True,100032,A\n1-17150-B-12.wav,1,12,crackling_fire,True,"
        "17150,B\n",
        [
            ("dog", f"<audio>{CAPTION}{CLOSE}", "audio/1-100032-A-0.wav", "100032", None),
            ("crackling fire", f"<audio>{CAPTION}{CLOSE}", "audio/1-17150-B-12.wav", "17150", None),
        ],
    ),
    "ESC-50 by CALM's code": (
        "esc50",
        "esc_mcq_test.json",
        json.dumps([{**OF_CALM, "mapped_label": "brushing_teeth"}]),
        [("brushing teeth", f"<audio>{OPTIONS}{CLOSE}", OF_CALM["wav"], "86160", None)],
    ),
    "the table of VGGSound": (
        "vggsound",
        "vggsound.csv",
        '---g-f_I2yQ,1,"people marching",test\n0_B2YnBAz3A,220,"donkey, ass braying",train\n',
        [
            (
                "people marching",
                f"<audio>{CAPTION}{CLOSE}",
                "---g-f_I2yQ_000001",
                "---g-f_I2yQ",
                None,
            ),
            (
                "donkey, ass braying",
                f"<audio>{CAPTION}{CLOSE}",
                "0_B2YnBAz3A_000220",
                "0_B2YnBAz3A",
                None,
            ),
        ],
    ),
    "videos of VGGSound": (
        "vggsound-video",
        "vggsound.csv",
        '---g-f_I2yQ,1,"people marching",test\n',
        [
            (
                "people marching",
                f"<image>{CAPTION}{CLOSE}",
                "---g-f_I2yQ_000001.mp4",
                "---g-f_I2yQ",
                None,
            )
        ],
    ),
    "videos of VGGSound by CALM's code": (
        "vggsound-video",
        "vgg_video_test.json",
        json.dumps([{**SEEN, "question": OPTIONS, "mapped_label": "thunder"}]),
        [("thunder", f"<image>{OPTIONS}{CLOSE}", SEEN["video"], "0_FFqLukmHk", None)],
    ),
    "segments of AudioSet": (
        "audioset",
        "eval_segments.csv",
        SEGMENTS,
        [
            (
                '["Car","Keys jangling"]',
                f"<audio>{EVENT}{CLOSE}",
                "-0RWZT-miFs",
                "-0RWZT-miFs",
                None,
            ),
            ('["Dog, a"]', f"<audio>{EVENT}{CLOSE}", "--4gqARaEJE", "--4gqARaEJE", None),
        ],
    ),
    "a protocol of ASVspoof": (
        "asvspoof-la",
        "ASVspoof2019.LA.cm.train.trn.txt",
        PROTOCOL,
        [
            (
                "bonafide",
                f"<audio>{SPOOFED}{CLOSE}",
                "ASVspoof2019_LA_train/flac/LA_T_1138215.flac",
                "LA_0079",
                None,
            ),
            (
                "spoof",
                f"<audio>{SPOOFED}{CLOSE}",
                "ASVspoof2019_LA_eval/flac/LA_E_2834763.flac",
                "LA_0039",
                "A11",
            ),
        ],
    ),
    "ASVspoof by CALM's code": (
        "asvspoof-la",
        "LA_eval.json",
        json.dumps(
            [
                {
                    "wav": "/d/LA_E_1.flac",
                    "question": SPOOFED,
                    "answer": "spoof",
                    "mapped_label": "spoof",
                }
            ]
        ),
        [("spoof", f"<audio>{SPOOFED}{CLOSE}", "/d/LA_E_1.flac", None, None)],
    ),
}


def read(name: str, path: Path, text: str) -> list[Any]:
    (path.parent / "class_labels_indices.csv").write_text(CLASSES)
    path.write_text(text)
    return read_examples(find_benchmark(name), path, "test")


@pytest.mark.parametrize("case", FILES)
def test_a_published_file_is_read(tmp_path: Path, case: str) -> None:
    name, file, text, expected = FILES[case]
    found = read(name, tmp_path / file, text)
    assert [(e.label, e.prompt, *e.media, e.group, e.category) for e in found] == expected
    assert all(
        example.columns == ("image" if name == "vggsound-video" else "audio",) for example in found
    )


def test_columns_that_split_a_file_are_kept(tmp_path: Path) -> None:
    for case, column, expected in (
        ("the table of ESC-50", "fold", "1"),
        ("the table of VGGSound", "split", "test"),
    ):
        name, file, text, _ = FILES[case]
        assert read(name, tmp_path / file, text)[0].extra[column] == expected


WRONG = {
    "a short line": ("vggsound", "v.csv", "a,1\n", "v.csv line 1 has 2 values for 4 columns"),
    "no seconds": ("vggsound", "v.csv", "a,1.5,b,test\n", "v.csv line 1: the start is '1.5'"),
    "seven digits": ("vggsound", "v.csv", "a,1000000,b,test\n", "the start is '1000000'"),
    "another name": (
        "esc50",
        "e.csv",
        f"{ESC}dog.wav,1,0,dog,True,1,A\n",
        "is called 'audio/dog.wav'",
    ),
    "no key": (
        "asvspoof-la",
        "p.txt",
        "LA_1 LA_T_1 - - real\n",
        "p.txt line 1: field 'key' is 'real'",
    ),
    "another part": (
        "asvspoof-la",
        "p.txt",
        "LA_1 PA_T_1 - - spoof\n",
        "the sound is called 'PA_T_1'",
    ),
    "no class": (
        "audioset",
        "s.csv",
        'a, 0, 1, "/m/none"\n',
        "s.csv line 1: .* has no class '/m/none'",
    ),
    "a text file": ("general", "p.txt", "a\n", "expected a name that ends in .jsonl"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_in_the_published_form_is_named(tmp_path: Path, case: str) -> None:
    name, file, text, problem = WRONG[case]
    with pytest.raises(DatasetError, match=problem if ".*" in problem else re.escape(problem)):
        read(name, tmp_path / file, text)


def test_segments_need_the_names_of_classes(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(SEGMENTS)
    with pytest.raises(DatasetError, match=r"class_labels_indices\.csv cannot be read"):
        read_examples(find_benchmark("audioset"), tmp_path / "s.csv", "test")


def test_a_line_of_names_is_no_row(tmp_path: Path) -> None:
    text = 'label,youtube_id,start,split\n"dog bow-wow",x,3,test\n'
    (found,) = read("vggsound", tmp_path / "v.csv", text)
    assert (found.label, found.media) == ("dog bow-wow", ("x_000003",))


def test_a_name_without_a_suffix_is_a_sound_then_a_video(tmp_path: Path) -> None:
    folder = MediaFolder(tmp_path)
    for number, name in enumerate(("a.txt", "a.jpg", "a.mp4", "a.flac", "a.wav", "a")):
        (tmp_path / name).write_bytes(bytes([number + 1]))
        expected = name if number else "a"  # no medium ends in .txt
        assert folder.path("a").name == expected
    assert folder.read("a") == bytes([6])
    assert not folder.has("b")


def test_clips_of_one_recording_are_one_cluster(tmp_path: Path) -> None:
    text = ESC + "".join(
        f"{fold}-{clip}-{take}-0.wav,{fold},0,dog,True,{clip},{take}\n"
        for fold, clip, take in ((1, 7, "A"), (1, 7, "B"), (2, 8, "A"))
    )
    groups = [e.group for e in read("esc50", tmp_path / "esc50.csv", text)]
    assert len(np.unique(groups)) == 2
