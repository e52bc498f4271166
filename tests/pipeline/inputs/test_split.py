"""One file into two that share nothing: every benchmark, every form."""

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace

import polars as pl
import pytest
from official_files import write_blink, write_naturalbench, write_retrieval
from web import serve

from savs.datasets import MediaError, RowError, Shots, SourceError, find_benchmark, read_examples
from savs.datasets.rows.file_formats import read_rows
from savs.pipeline import split
from savs.pipeline.errors import OutputError
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source


@pytest.fixture
def pool(inputs):
    """Return 16 rows of two classes; 0 and 1 share an image, 2 and 3 a group."""
    rows = [
        {
            "image": inputs.image(f"images/{n}.png", n),
            "question": f"What is {n}?",
            "label": "ab"[n % 2],
            "note": f"é{n}",
        }
        for n in range(16)
    ]
    shutil.copy(inputs.root / "images/0.png", inputs.root / "images/1.png")
    rows[2]["group"] = rows[3]["group"] = "pair"
    return inputs.rows("all.jsonl", rows)


def halves(path, suffix=None):
    suffix = suffix or path.suffix
    return {name: path.with_name(f"{name}{suffix}") for name in ("train", "test")}


def ids_by_side(done, column):
    return {
        name: [json.loads(line)[column] for line in path.read_text("utf-8").splitlines()]
        for name, path in done.paths.items()
    }


def test_what_shares_an_image_or_a_group_stays_together(pool):
    rows = [row.values for row in read_rows(pool)]
    drawn = set()
    for seed in range(12):
        done = split("general", pool, **halves(pool), shots=Shots(3, seed=seed), force=True)
        sides = ids_by_side(done, "note")
        assert Counter(sides["train"] + sides["test"]) == Counter(f"é{n}" for n in range(16))
        for one, other in (("é0", "é1"), ("é2", "é3")):
            assert (one in sides["train"]) == (other in sides["train"])
        drawn |= {*sides["train"]}
        assert done.classes["train"] == {(None, "a"): 3, (None, "b"): 3}
        assert done.clusters == 14
        for path in done.paths.values():
            kept = [row.values for row in read_rows(path)]
            assert kept == [row for row in rows if row in kept]  # equal, and in order
    assert {"é0", "é2"} <= drawn  # some seed trains with the shared ones


def test_rows_that_share_nothing_train_as_extract_would_draw_them(inputs):
    rows = [{"question": f"{n}?", "label": "ab"[n % 2]} for n in range(12)]
    pool = inputs.rows("all.jsonl", rows)
    drawn = Source(
        find_benchmark("general"), InputOptions(test=pool, shots=Shots(2, seed=5))
    ).examples()
    done = split("general", pool, **halves(pool), shots=Shots(2, seed=5))
    assert ids_by_side(done, "question")["train"] == [e.prompt for e in drawn["train"]]


def test_one_prompt_of_text_alone_is_on_one_side(inputs):
    rows = [{"question": f"{n // 2}?", "label": "ab"[n // 2 % 2]} for n in range(12)]
    pool = inputs.rows("all.jsonl", rows)
    done = split("general", pool, **halves(pool), shots=Shots(2))
    sides = ids_by_side(done, "question")
    assert set(sides["train"]).isdisjoint(sides["test"])
    assert done.clusters == 6


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_each_form_is_written_as_it_was_read(inputs, pool, suffix):
    rows = [json.loads(line) for line in pool.read_text("utf-8").splitlines()]
    path = inputs.root / f"forms{suffix}"
    if suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*rows[0], "group"])
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        images = [
            {"bytes": (inputs.root / row["image"]).read_bytes(), "path": None} for row in rows
        ]
        pl.DataFrame(rows).with_columns(image=pl.Series(images)).write_parquet(path)
    done = split("general", path, **halves(path), shots=Shots(3))
    assert done.rows == {"train": 6, "test": 10}
    general = find_benchmark("general")
    for name, target in done.paths.items():
        assert len(read_examples(general, target, name)) == done.rows[name]
    assert not Source(general, InputOptions(**done.paths)).leaks(
        Source(general, InputOptions(**done.paths)).examples()
    )
    if suffix == ".parquet":
        assert pl.read_parquet(done.paths["test"]).schema == pl.read_parquet(path).schema


def test_naturalbench_goes_by_whole_rows_of_four(inputs, tmp_path):
    path = write_naturalbench(inputs.root / "nb.parquet", groups_each=4)
    done = split("naturalbench", path, **halves(path), shots=Shots(groups=1, seed=2))
    assert done.rows == {"train": 2, "test": 6}
    assert set(done.classes["train"]) == {
        ("yes_no", "Yes"), ("yes_no", "No"), ("multiple_choice", "A"), ("multiple_choice", "B"),
    }  # fmt: skip
    again = split("naturalbench", path, **halves(path), shots=Shots(2), force=True)
    assert again.rows == {"train": 2, "test": 6}  # one group has two of each class


def test_blink_in_its_folders(inputs):
    write_blink(inputs.root / "blink", rows_each=16)
    source = str(inputs.root / "blink" / "*" / "val-*.parquet")
    targets = halves(inputs.root / "all.parquet")
    done = split("blink", source, **targets, shots=Shots(1))
    pooled = read_examples(find_benchmark("blink"), source, "test")
    sides = {n: read_examples(find_benchmark("blink"), p, n) for n, p in done.paths.items()}
    assert sorted(e.id for side in sides.values() for e in side) == sorted(e.id for e in pooled)
    assert {e.subtask for e in sides["train"]} == {e.subtask for e in pooled}


def test_retrieval_keeps_groups_that_share_an_image_together(inputs):
    path = write_retrieval(inputs.root / "r", groups_count=6, part="curriculum")
    done = split("naturalbench-retrieval", path, **halves(path), shots=Shots(2))
    sides = ids_by_side(done, "question_id")
    assert set(sides["train"]).isdisjoint(sides["test"])
    assert done.classes["train"] == {(None, "Yes"): 2, (None, "No"): 2}


def test_nothing_is_overwritten_unasked_and_never_the_source(pool):
    targets = halves(pool)
    targets["test"].write_text("mine")
    with pytest.raises(OutputError, match=r"test.jsonl exists; pass another `test`, .*`force`"):
        split("general", pool, **targets, shots=Shots(2))
    assert targets["test"].read_text() == "mine"
    assert not targets["train"].exists()
    split("general", pool, **targets, shots=Shots(2), force=True)
    before = pool.read_bytes()
    with pytest.raises(SourceError, match=r"all.jsonl is the file to split; pass another `train`"):
        split("general", pool, train=pool, test=targets["test"], shots=Shots(2), force=True)
    with pytest.raises(SourceError, match="is both `train` and `test`"):
        split("general", pool, train=targets["test"], test=targets["test"], shots=Shots(2),
              force=True)  # fmt: skip
    with pytest.raises(SourceError, match=r"train.csv would be CSV, but all.jsonl is JSON Lines"):
        split("general", pool, **halves(pool, ".csv"), shots=Shots(2))
    assert pool.read_bytes() == before
    assert sorted(p.name for p in pool.parent.iterdir() if p.name.startswith(".savs")) == []


def test_too_few_examples_are_counted_and_nothing_is_written(pool):
    with pytest.raises(
        RowError, match="class 'a' has 8 examples, --shots asks for 9; give 7 at most"
    ):
        split("general", pool, **halves(pool), shots=Shots(9))
    assert not any(path.exists() for path in halves(pool).values())


def test_files_that_share_something_after_all_are_not_kept(pool, monkeypatch):
    from savs.pipeline.inputs import split as splitting

    monkeypatch.setattr(splitting, "cluster_ids", lambda ties: [str(n) for n in range(len(ties))])
    apart = next(s for s in range(20) if _tears(pool, Shots(3, seed=s)))
    with pytest.raises(
        SourceError, match=r"failed the check .*leak: 1 test examples share .* \(test:\d+\)"
    ):
        split("general", pool, **halves(pool), shots=Shots(3, seed=apart))
    assert not any(path.exists() for path in halves(pool).values())


@pytest.fixture
def questions(inputs):
    """Return a function that writes the official file of MMVP, numbered or not, of four pairs."""
    for n in range(1, 9):
        inputs.image(f"MMVP Images/{n}.jpg", n)

    def write(*columns):
        rows = [
            {"Index": n, "Question": "Left?", "Options": "(a) Yes (b) No", "Correct Answer": answer}
            for n, answer in enumerate(["(a)", "(b)"] * 4, start=1)
        ]
        path = inputs.root / "Questions.csv"
        pl.DataFrame(rows).select(*columns, pl.exclude("Index")).write_csv(path)
        return path

    return write


def test_the_official_file_of_mmvp_is_split_with_its_images(questions):
    path = questions("Index")
    done = split("mmvp", path, **halves(path), shots=Shots(groups=2))
    found = {n: read_examples(find_benchmark("mmvp"), p, "test") for n, p in done.paths.items()}
    images = [medium for examples in found.values() for e in examples for medium in e.media]
    assert sorted(images) == [f"MMVP Images/{n}.jpg" for n in range(1, 9)]
    for examples in found.values():
        numbers = [int(e.media[0].split("/")[1].removesuffix(".jpg")) for e in examples]
        assert all(a + 1 == b and a % 2 for a, b in zip(numbers[::2], numbers[1::2], strict=True))


def test_media_that_follow_from_the_number_of_a_row_are_not_split(questions):
    path = questions()
    with pytest.raises(
        SourceError, match=r"Questions:\d is about .*but in .*train\.csv it would be about .*number"
    ):
        split("mmvp", path, **halves(path), shots=Shots(groups=2, seed=1))
    assert not any(half.exists() for half in halves(path).values())


def _tears(pool, shots):
    """Return whether drawing single examples would tear rows 0 and 1 apart."""
    train, _ = shots.draw(
        [replace(e, group=None) for e in read_examples(find_benchmark("general"), pool, "test")],
        test_the_rest=True,
    )
    drawn = {e.index for e in train}
    return (0 in drawn) != (1 in drawn)


@pytest.mark.thorough
def test_media_at_an_address_are_compared_by_content_too(inputs):
    names = [inputs.image(f"{n}.png", n) for n in range(8)]
    shutil.copy(inputs.root / "0.png", inputs.root / "1.png")
    with serve(inputs.root) as (address, _):
        rows = [
            {"image": f"{address}/{name}", "question": "?", "label": "ab"[n % 2]}
            for n, name in enumerate(names)
        ]
        pool = inputs.rows("all.jsonl", rows)
        fetching = {"fetch_urls": True, "allow_private_addresses": True}
        done = split("general", pool, **halves(pool), shots=Shots(2), **fetching)
    assert (done.clusters, done.missing, done.media_root) == (7, (), None)
    sides = ids_by_side(done, "image")
    assert sum(f"{address}/{n}.png" in sides["train"] for n in (0, 1)) in (0, 2)
    with pytest.raises(MediaError, match="none of the 8 images exists"):
        split("general", pool, **halves(pool), shots=Shots(2), force=True)


def test_what_holds_no_rows_cannot_be_split(inputs):
    (inputs.root / "0.tar").touch()
    targets = halves(inputs.root / "x.tar")
    with pytest.raises(SourceError, match=r"0\.tar is a tar shard, but only files of rows can be"):
        split("general", inputs.root / "0.tar", shots=Shots(1), question="What?", **targets)
    with pytest.raises(SourceError, match="image-folder reads folders, but only files of rows"):
        split("image-folder", inputs.root, **targets, shots=Shots(1))
