"""`savs benchmarks` and `savs benchmarks NAME`."""

import json

import pytest

from savs.datasets import BENCHMARKS


def test_the_list_tells_of_each_benchmark(savs):
    lines = savs("benchmarks").stdout.splitlines()
    heads = [line.split(":")[0] for line in lines if line and not line.startswith(" ")]
    assert heads[:-1] == list(BENCHMARKS)
    for fact in ("task", "metrics", "sizes", "source", "licence", "files"):
        assert sum(line.startswith(f"    {fact} ") for line in lines) == len(BENCHMARKS)
    assert max(map(len, lines[:-1])) <= 100


def test_json_has_all(savs):
    listed = json.loads(savs("benchmarks", "--json").stdout)
    one = json.loads(savs("benchmarks", "naturalbench", "--json").stdout)
    assert one in listed
    examples = one["sample"]["examples"]
    assert [e["label"] for e in examples] == ["Yes", "No", "No", "Yes"]
    assert {e["group"] for e in examples} == {"0"}
    assert one["metrics"][0] == "accuracy"
    assert one["columns"]["Index"] == "the group's id"


@pytest.mark.parametrize("name", BENCHMARKS)
def test_each_can_be_shown(savs, name):
    shown = savs("benchmarks", name)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith(f"{name}: ")
    lines = shown.stdout.splitlines()
    assert {"columns", "sample row"} < set(lines)
    assert any(line.startswith("    prompt    ") for line in lines)
    if name == "naturalbench-retrieval":
        assert r"    prompt    [images/0_image_0.jpg]\nDoes this image show 'A dog" in shown.stdout
        for line in ("label     Yes", "media     images/0_image_0.jpg", "group     1"):
            assert f"    {line}" in lines
        assert "    also     natural_ret" in shown.stdout
    if name == "blink":  # each mark shows which image stands there
        assert r"the second [1_2.jpg] or the third [1_3.jpg]?\n(A) the second" in shown.stdout
        assert "    media     1_1.jpg, 1_2.jpg, 1_3.jpg" in lines
        assert "    subtask   Visual_Similarity" in lines


def test_an_unknown_name_is_a_usage_error_with_a_hint(savs):
    done = savs("benchmarks", "blnk")
    assert done.returncode == 2
    assert "did you mean 'blink'?" in done.stderr
    missing = savs("benchmarks", "mine.py")
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr
    assert "mine.py" in missing.stderr


def test_a_file_of_ones_own_is_shown(savs, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from savs.datasets import Benchmark, Fields, accuracy\n"
        "def parse(row):\n"
        "    yield Fields(label=row.text('y'), prompt=row.text('x'))\n"
        "BENCHMARK = Benchmark('mine', 'my own', {'x': 'text', 'y': 'class'}, parse,\n"
        "    lambda p, c: [accuracy(p, c)])\n"
    )
    shown = savs("benchmarks", "mine.py")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines() == [
        "mine: my own", "", "columns", "    x  text", "    y  class",
    ]  # fmt: skip
