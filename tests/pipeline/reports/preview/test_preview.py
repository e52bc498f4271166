"""A preview page: what it shows, and that nothing in it runs or is fetched."""

import base64
import io
import json
import re
import subprocess
import sys

import pytest
from PIL import Image
from reported import Page

from savs.datasets import MediaError, SourceError
from savs.foundation.errors import ParameterError
from savs.pipeline.errors import OutputError
from savs.pipeline.reports.preview.preview import SplitContent, preview

ATTACK = "<script>alert('&amp;\"')</script>"


@pytest.fixture
def files(inputs):
    """Return a train and a test file with all that can go wrong."""
    inputs.image("big.png", 1, (800, 400))
    inputs.image("a.png", 2)
    (inputs.root / "junk.png").write_bytes(b"junk")
    train = [
        {"image": "big.png", "question": "What\nis\tthis?", "label": ATTACK, "group": "g<1>"},
        {"images": ["a.png", "big.png"], "question": "Is <image> like <image>?", "label": "b"},
        {"image": "junk.png", "question": "Broken?", "label": "b", "category": ATTACK},
        {"image": 'no"such.png', "question": ATTACK, "label": "b"},
    ]
    test = [{"question": f"Text alone {n}?", "label": "b"} for n in range(5)]
    return {
        "train": inputs.rows("train.jsonl", train),
        "test": inputs.rows("test.jsonl", test),
        "out": inputs.root / "page.html",
    }


def test_images_stand_in_the_place_where_they_are_read(files):
    files["out"].write_text("old")
    preview("general", **files)
    html = files["out"].read_text("utf-8")
    assert html.startswith("<!doctype html>")
    assert not list(files["out"].parent.glob(".savs-*"))
    cards = re.findall(r"<article.*?</article>", html, re.DOTALL)
    assert len(cards) == 4 + 5
    order = re.sub(r"<figure.*?</figure>", "[image]", cards[1].split('class="prompt"')[1])
    assert "Is [image] like [image]?" in order
    assert order.index("[image]") > order.index("Is ")
    assert re.search(r'class="prompt"><figure', cards[0])  # without a mark, the image comes first


def test_examples_that_wait_for_a_label_are_shown(files, inputs):
    waiting = inputs.rows("waiting.jsonl", [{"image": "a.png", "question": "Which is it?"}])
    preview("general", **files, unlabelled=waiting)
    html = files["out"].read_text("utf-8")
    assert "waiting.jsonl" in html
    assert "Which is it?" in html


def test_images_are_in_the_page_and_small(files):
    preview("general", **files)
    images = Page(files["out"]).all("img")
    sizes = []
    for image in images:
        head, data = image["src"].split(",", 1)
        assert head == "data:image/jpeg;base64"
        sizes.append(Image.open(io.BytesIO(base64.b64decode(data))).size)
    assert sizes == [(160, 320), (56, 40), (160, 320)]  # of 400 x 800 and 56 x 40 px
    assert [image["alt"] for image in images] == ["big.png", "a.png", "big.png"]
    assert "400 \N{MULTIPLICATION SIGN} 800 px" in Page(files["out"]).text


def test_every_text_of_the_files_is_escaped_and_nothing_runs(files):
    preview("general", **files)
    page = Page(files["out"])
    assert page.all("script") == []
    assert page.text.count(ATTACK) >= 4  # its label, its count, a category, a prompt
    assert "g<1>" in page.text
    policy = next(m["content"] for m in page.all("meta") if "http-equiv" in m)
    assert policy == "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
    allowed = {"src", "href"}
    targets = [v for _, a in page.tags for n, v in a.items() if n in allowed]
    assert all(target.startswith(("data:image/jpeg", "#")) for target in targets)
    assert not any(name.startswith("on") for _, a in page.tags for name in a)


def test_skipped_ones_say_why_and_labels_are_counted(files):
    content = preview("general", **files)
    page = Page(files["out"])
    assert "skipped: junk.png is not an image of a known format" in page.text
    assert 'skipped: no"such.png is not in' in page.text
    assert [s.example.id for s in content.splits[0].shown if s.skipped] == ["train:2", "train:3"]
    assert content.splits[0].absent == {"train:3": 'no"such.png'}
    assert content.splits[0].labels == {(None, ATTACK): 1, (None, "b"): 3}
    assert {a["aria-label"] for a in page.all("span") if "aria-label" in a} == {
        "no image: junk.png", 'no image: no"such.png',
    }  # fmt: skip


def test_only_the_first_are_shown_and_all_are_counted(files):
    content = preview("general", examples=2, **files)
    assert [len(s.shown) for s in content.splits] == [2, 2]
    text = Page(files["out"]).text
    assert "test: 5 examples" in text
    assert "2 of them are shown, of each class in turn" in text


@pytest.mark.parametrize("given", ["train", "test"])
def test_both_parts_of_a_file_that_is_split_are_named_by_it(inputs, given):
    rows = [{"question": f"{n}?", "label": "ab"[n % 2], "part": "xxy"[n % 3]} for n in range(12)]
    path = inputs.rows("all.jsonl", rows)
    out = inputs.root / "p.html"
    content = preview("general", **{given: path}, hold_out=["part=y"], out=out)
    assert [(one.source, one.examples) for one in content.splits] == [
        (str(path), 8),
        (str(path), 4),
    ]
    assert content.title == "all.jsonl"


def test_labels_of_many_are_counted_and_images_that_wait_have_their_file(inputs):
    rows = [{"question": "?", "label": "a,b"}, {"question": "!", "label": "b"}]
    path = inputs.rows("many.jsonl", rows)
    given = {"train": path, "test": path, "out": inputs.root / "p.html"}
    content = preview("general", **given, task="many-labels", label_separator=",")
    assert content.splits[0].labels == {(None, '["a","b"]'): 1, (None, '["b"]'): 1}
    assert content.reading == "prompts and labels"
    waiting = preview("general", unlabelled=path, out=given["out"])
    assert [one.source for one in waiting.splits if one.examples] == [str(path)]
    assert waiting.title == "many.jsonl"


def test_a_page_of_few_examples_shows_each_class_in_turn(inputs):
    rows = [{"question": f"{n}?", "label": label} for n, label in enumerate("aaaaabbc")]
    path = inputs.rows("t.jsonl", rows)
    content = preview("general", train=path, test=path, out=inputs.root / "p.html", examples=5)
    # the first of each class, then the second of each that has one
    assert [s.example.prompt for s in content.splits[0].shown] == ["0?", "5?", "7?", "1?", "6?"]


@pytest.mark.thorough
def test_a_dry_run_writes_the_page_and_no_store(savs, files, tmp_path):
    pytest.importorskip("torch")
    given = ("extract", "general", "--train", files["train"], "--test", files["test"])
    given += ("--model", "demo", "--out", tmp_path / "store", "--page", files["out"])
    refused = savs(*given)
    assert refused.returncode == 2
    assert "--page shows what would be extracted; add --dry-run" in refused.stderr
    done = savs(*given, "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["examples"] == {"train": 4, "test": 5}
    assert f"wrote {files['out']}\n" in done.stderr
    assert "train: 4 examples, 4 shown, 2 would be skipped; 1 have" in done.stderr
    assert "prompts as demo reads them" in Page(files["out"]).text
    assert not (tmp_path / "store").exists()


def test_kept_marks_and_drawn_examples(inputs):
    rows = [
        {"image": inputs.image(f"{n}.png", n), "question": "Is <image> it?", "label": "ab"[n % 2]}
        for n in range(8)
    ]
    out = inputs.root / "p.HTM"
    given = {"model": "demo", "placeholders": "keep"}
    content = preview("general", test=inputs.rows("all.jsonl", rows), out=out, shots=1, **given)
    assert [s.examples for s in content.splits] == [2, 6]
    cards = re.findall(r"<article.*?</article>", out.read_text("utf-8"), re.DOTALL)
    assert all(re.search(r'"prompt"><figure.*Is &lt;image&gt; it\?', c, re.DOTALL) for c in cards)
    assert "all.jsonl (drawn)" in Page(out).text


def test_a_very_long_prompt_is_cut_and_says_so(inputs):
    rows = [{"question": "x" * 9000 + f"en{label}", "label": label} for label in "ab"]
    path = inputs.rows("t.jsonl", rows)
    preview("general", train=path, test=path, out=inputs.root / "p.html")
    text = Page(inputs.root / "p.html").text
    assert "... and 3,003 more characters" in text
    assert "leak: 2 of 2 training examples are also in the test split" in text


def test_what_cannot_be_shown_is_refused(files, inputs):
    with pytest.raises(ParameterError, match=r"page.txt', expected a name that ends in .html"):
        preview("general", **files | {"out": inputs.root / "page.txt"})
    with pytest.raises(SourceError, match=r"absent.jsonl does not exist"):
        preview("general", **files | {"train": inputs.root / "absent.jsonl"})
    with pytest.raises(MediaError, match="none of the 5 media exists"):
        preview("general", media_root=inputs.root / "nowhere", **files)
    with pytest.raises(ParameterError, match="`examples` is 0, expected at least 1"):
        preview("general", examples=0, **files)
    with pytest.raises(ParameterError, match="`max_pixels` is about a model; give `model`, too"):
        preview("general", max_pixels=3000, **files)
    assert not files["out"].exists()
    (inputs.root / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        preview("general", **files | {"out": inputs.root / "file" / "p.html"})


@pytest.mark.thorough
def test_torch_is_not_needed_without_a_model(files):
    block = "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'accelerate')))"
    call = f"preview('general', **{ {name: str(path) for name, path in files.items()} })"
    code = f"{block}\nfrom savs.pipeline.reports.preview.preview import preview\n{call}"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
    assert files["out"].exists()


@pytest.mark.parametrize(("absent", "last"), [(10, "e9: 9.png"), (1012, "and 1,002 more")])
def test_the_first_missing_media_are_named_and_the_others_counted(absent, last):
    names = {f"e{n}": f"{n}.png" for n in range(absent)}
    lines = SplitContent("test", "t.csv", absent, {}, names, ()).named_absent
    assert lines[0] == "e0: 0.png"
    assert lines[9:][-1] == last
    assert len(lines) == 10 + (absent > 10)
