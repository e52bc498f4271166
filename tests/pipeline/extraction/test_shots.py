"""Training examples drawn from a file: apart from what is tested, and the same for a seed."""

import json
import shutil
from collections import Counter

import pytest
from official_files import write_naturalbench
from web import serve

from savs.datasets import RowError, SourceError, find_benchmark
from savs.pipeline.inputs.input_options import InputOptions
from savs.pipeline.inputs.source import Source, temporary_fetching
from savs.stores import open_store

GENERAL, NATURALBENCH = map(find_benchmark, ("general", "naturalbench"))


@pytest.fixture
def pool(inputs):
    """Return a file of 24 questions: two subtasks of two classes, six examples each."""
    rows = [
        {"question": f"Question {n}?", "label": "ab"[n // 2 % 2], "subtask": "xy"[n % 2]}
        for n in range(24)
    ]
    return inputs.rows("pool.jsonl", rows)


@pytest.fixture
def grouped(inputs):
    """Return a NaturalBench file of four groups of each kind of question."""
    return write_naturalbench(inputs.root / "groups.parquet", groups_each=4)


def ids(examples):
    return [example.id for example in examples]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shots_of_the_test_file_train_and_only_the_others_are_tested(pool, seed):
    found = Source(GENERAL, InputOptions(test=pool, shots=2, seed=seed)).examples()
    train, test = found["train"], found["test"]
    assert set(ids(train)).isdisjoint(ids(test))
    assert sorted(ids(train) + ids(test)) == sorted(f"pool:{n}" for n in range(24))
    assert Counter((e.subtask, e.label) for e in train) == {(s, c): 2 for s in "xy" for c in "ab"}
    for split, examples in found.items():
        assert {e.split for e in examples} == {split}
        places = [int(e.id.removeprefix("pool:")) for e in examples]
        assert [e.index for e in examples] == places == sorted(places)  # in the order of the file


def test_a_seed_draws_the_same_again_and_another_one_others(pool):
    sources = [Source(GENERAL, InputOptions(test=pool, shots=2, seed=seed)) for seed in (0, 0, 1)]
    first, again, other = (ids(source.examples()["train"]) for source in sources)
    assert first == again != other


def test_shots_of_the_train_file_leave_the_test_file_whole(pool, inputs):
    rows = [{"question": f"Other {n}?", "label": "ab"[n % 2], "subtask": "x"} for n in range(5)]
    test = inputs.rows("test.jsonl", rows)
    found = Source(GENERAL, InputOptions(train=pool, test=test, shots=3)).examples()
    assert ids(found["test"]) == [f"test:{n}" for n in range(5)]
    assert len(found["train"]) == 12
    assert all(name.startswith("pool:") for name in ids(found["train"]))
    whole = Source(GENERAL, InputOptions(train=pool, test=test, shots=6)).examples()["train"]
    assert len(whole) == 24  # all may train, where the test examples are others


def test_whole_groups_are_drawn_of_each_subtask(grouped):
    source = Source(NATURALBENCH, InputOptions(test=grouped, train_groups=1, seed=2))
    found = source.examples()
    trained, tested = (Counter((e.subtask, e.group) for e in found[s]) for s in ("train", "test"))
    assert sorted(subtask for subtask, _ in trained) == ["multiple_choice", "yes_no"]
    assert len(tested) == 6
    assert not set(trained) & set(tested)
    assert set((trained | tested).values()) == {4}
    assert not source.leaks(found)
    kept = Source(
        NATURALBENCH, InputOptions(test=grouped, limit=6, train_groups=1, seed=2)
    ).examples()
    assert ids(kept["test"]) == ids(found["test"])[:6]


def test_identical_images_stay_in_one_split_whatever_their_names(inputs):
    same = [inputs.image(f"{n}.png", (9, 9, 9)) for n in range(3)]
    others = [inputs.image(f"other-{n}.png", (n, 0, 0)) for n in range(5)]
    rows = [
        {"image": image, "question": f"{n}?", "label": "ab"[n % 2]}
        for n, image in enumerate([*same, *others])
    ]
    for seed in range(4):
        source = Source(
            GENERAL, InputOptions(test=inputs.rows("pool.jsonl", rows), shots=1, seed=seed)
        )
        found = source.examples()
        assert not source.leaks(found)
        assert len({e.split for rows in found.values() for e in rows if e.index < 3}) == 1


def test_equal_prompts_of_text_alone_stay_in_one_split(inputs):
    rows = [{"question": f"{n // 2}?", "label": "ab"[n // 2 % 2]} for n in range(12)]
    found = Source(GENERAL, InputOptions(test=inputs.rows("all.jsonl", rows), shots=2)).examples()
    train, test = ({e.prompt for e in found[split]} for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (2, 4, set())


@pytest.mark.thorough
def test_images_at_addresses_are_compared_by_content(inputs):
    names = [inputs.image(f"{n}.png", n) for n in range(8)]
    shutil.copy(inputs.root / "0.png", inputs.root / "1.png")
    with serve(inputs.root) as (address, _):
        rows = [
            {"image": f"{address}/{name}", "question": "?", "label": "ab"[n // 2 % 2]}
            for n, name in enumerate(names)
        ]
        pool = inputs.rows("all.jsonl", rows)
        fetching = {"fetch_urls": True, "allow_private_addresses": True}
        trained = set()
        for seed in range(6):
            options = InputOptions(test=pool, shots=2, seed=seed, **fetching)
            with temporary_fetching(options) as fetched:
                found = Source(GENERAL, options, fetched).examples()
            places = {e.index for e in found["train"]}
            assert len(places & {0, 1}) != 1
            trained |= places
    assert {0, 1} < trained  # some seed trains with them


@pytest.mark.parametrize(
    ("drawn", "error", "text"),
    [
        ({}, SourceError, r"give `train`, or .* `shots` .* or `train_groups`"),
        ({"shots": 6}, RowError, r"class 'a' of subtask 'x' has 6 examples, .* give 5 at most"),
        ({"train_groups": 1}, RowError, "'pool:0' has no group; draw single ones with `shots`"),
    ],
    ids=["nothing to draw", "too many", "no groups"],
)
def test_what_cannot_be_drawn_is_refused(pool, drawn, error, text):
    with pytest.raises(error, match=text):
        Source(GENERAL, InputOptions(test=pool, **drawn)).examples()


def test_groups_stay_in_one_split(grouped):
    found = Source(NATURALBENCH, InputOptions(test=grouped, shots=2)).examples()
    trained, tested = ({(e.subtask, e.group) for e in found[s]} for s in ("train", "test"))
    assert not trained & tested
    assert set(Counter((e.subtask, e.label) for e in found["train"]).values()) == {2}
    found = Source(NATURALBENCH, InputOptions(train=grouped, test=grouped, shots=2)).examples()
    assert len(found["train"]) == 8  # of a training file they may be torn


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (("--shots", "0"), 2, "--shots"),
        ((), 1, "error: there are no training examples: give --train, or have them drawn"),
        (("--shots", "9"), 1, "--shots asks for 9"),
    ],
    ids=["none asked for", "neither", "too many"],
)
def test_the_command_refuses_with_one_reason(savs, grouped, tmp_path, more, code, text):
    done = savs(
        *("extract", "naturalbench", "--test", grouped, "--model", "demo"),
        *("--out", tmp_path / "store", *more),
    )
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.thorough
def test_a_store_is_resumed_with_its_seed_and_refuses_another(savs, pool, tmp_path):
    def run(*more):
        return savs(
            *("extract", "general", "--test", pool, "--model", "demo", "--json"),
            *("--out", tmp_path / "store", *more),
            env={"SAVS_EXTRACT_ENGINE": "local,shard_rows=8"},
        )

    first = run("--shots", "2", "--seed", "3")
    assert json.loads(first.stdout)["rows"] == 24, first.stderr
    before = open_store(tmp_path / "store").manifest
    (tmp_path / "store" / "test-00001.h5").unlink()
    again = run("--shots", "2", "--seed", "3")
    assert json.loads(again.stdout)["rows"] == 8
    after = open_store(tmp_path / "store").manifest
    assert (after.identity, after.plan) == (before.identity, before.plan)
    for changed in (("--shots", "2"), ("--shots", "3", "--seed", "3")):
        other = run(*changed)
        assert other.returncode == 1
        assert "train examples are not the first of the" in other.stderr
    drawn = Source(GENERAL, InputOptions(test=pool, shots=2, seed=3)).examples()
    assert open_store(tmp_path / "store").examples("train")["id"].to_list() == ids(drawn["train"])


@pytest.mark.thorough
def test_a_dry_run_counts_what_would_be_drawn(savs, grouped, tmp_path):
    done = savs(
        *("extract", "naturalbench", "--test", grouped, "--shots", "groups:1"),
        *("--model", "demo", "--out", tmp_path / "never", "--dry-run", "--json"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["examples"] == {"train": 8, "test": 24}
    assert not (tmp_path / "never").exists()
