"""`savs verify`, also with `--repair`, and the flags of an unfinished or a mended store."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from claimants import ended, leave_claim

from savs import open_store

pytestmark = pytest.mark.thorough

SHARD = "test-00001.h5"
CLAIM = f"claims/{SHARD}.0"


@pytest.fixture
def extract(savs, inputs, tmp_path):
    """Return a function that extracts four train and six test examples, two a shard."""
    train, test = inputs.few_shots(train=4, test=6)

    def run(*more, code=0):
        done = savs(
            *("extract", "general", "--train", train, "--test", test, "--model", "demo"),
            *("--out", tmp_path / "store", *more),
            env={"SAVS_EXTRACT_ENGINE": "local,shard_rows=2"},
        )
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture
def store(extract, tmp_path) -> Path:
    extract()
    return tmp_path / "store"


def flip_feature(path: Path) -> None:
    with h5py.File(path) as file:
        place = file["layers/00000"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def shards(store: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in store.glob("*.h5")}


def problems(savs, store: Path, *flags: str) -> list[dict[str, str]]:
    done = savs("verify", store, "--json", *flags)
    found = json.loads(done.stdout)
    assert done.returncode == (3 if found["problems"] else 0)
    return found["problems"]


def test_a_whole_store_exits_with_0(savs, store):
    size = sum(path.stat().st_size for path in store.glob("*.h5"))
    done = savs("verify", store)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("5 shards planned, ")
    assert done.stderr.endswith(" compared, problems: 0\n")
    assert json.loads(savs("verify", store, "--json").stdout) == {
        "store": str(store),
        "shards": 5,
        "bytes": size,
        "sealed": True,
        "problems": [],
    }
    quick = savs("verify", store, "--quick")
    assert quick.stderr == "5 shards planned, names, sizes and headers compared, problems: 0\n"


def test_a_damaged_store_exits_with_3_and_says_what_to_do(savs, store):
    flip_feature(store / SHARD)
    leave_claim(store, SHARD, ended())
    done = savs("verify", store)
    assert done.returncode == 3
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["file", "problem"],
        [SHARD, "damaged"],
        [CLAIM, "left-over"],
    ]
    shard, claim, last = done.stderr.splitlines()
    assert shard.startswith(f"{SHARD}: ")
    assert "/layers/00000 head 0 fails its crc32: the file was changed after it was" in shard
    assert shard.endswith(
        "; run `savs verify --repair`, then the same `savs extract` command again"
    )
    assert claim == f"{CLAIM}: a process that no longer runs left it; run `savs verify --repair`"
    assert last.endswith(" compared, problems: 2")
    found = problems(savs, store)
    assert [(p["file"], p["kind"]) for p in found] == [
        *((SHARD, "damaged"), (CLAIM, "left-over")),
    ]
    assert all(set(p) == {"file", "kind", "what", "remedy"} for p in found)
    assert [p["file"] for p in problems(savs, store, "--quick")] == [CLAIM]


def test_a_damaged_store_json_exits_with_3(savs, store):
    text = (store / "store.json").read_text("utf-8")
    (store / "store.json").write_text(text[:-9], "utf-8")
    done = savs("verify", store)
    assert done.returncode == 3
    assert "store.json is damaged" in done.stderr
    assert "restore it from a copy, or extract into another folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert savs("verify", store / "nowhere").returncode == 1
    (store / "store.json").write_text(text + " ", "utf-8")  # it can be read, but was edited
    for flags in ([], ["--quick"], ["--repair"]):
        done = savs("verify", store, *flags)
        assert done.returncode == 3
        assert done.stderr.startswith("store.json: ")
        assert "headers compared" not in done.stderr


def test_repair_then_the_same_extract_then_verify_is_clean(savs, extract, store):
    features = open_store(store).features("test", raw=True)
    flip_feature(store / SHARD)
    (store / "train-00000.h5").unlink()
    leave_claim(store, SHARD, ended())
    before = shards(store)
    done = savs("verify", store, "--repair", "--quick")  # features are not read
    assert "set aside" not in done.stdout
    leave_claim(store, SHARD, ended())
    done = savs("verify", store, "--repair")
    assert done.returncode == 0
    assert [tuple(line.split(maxsplit=1)) for line in done.stdout.splitlines()[1:]] == [
        *((CLAIM, "removed"), (SHARD, "set aside")),
        *(("train-00000.h5", "to extract again"), (SHARD, "to extract again")),
    ]
    assert "shards to extract again: 2; run the same `savs extract` command" in done.stderr
    assert json.loads(savs("verify", store, "--repair", "--json").stdout)["to_redo"] == [
        *("train-00000.h5", SHARD),
    ]

    again = extract("--json")
    assert json.loads(again.stdout)["rows"] == 4
    assert savs("verify", store).returncode == 0
    np.testing.assert_array_equal(open_store(store).features("test", raw=True), features)
    after = shards(store)
    for name in ("train-00001.h5", "test-00000.h5", "test-00002.h5"):
        assert after[name] == before[name]
    assert savs("verify", store, "--repair").stderr == "nothing to repair: the store is complete\n"


def test_a_partial_evaluation_says_what_is_missing(savs, store):
    (store / SHARD).unlink()
    refused = savs("evaluate", store)
    assert refused.returncode == 3
    assert f"1 of 5 shards are missing ({SHARD} first); run the same" in refused.stderr
    done = savs("evaluate", store, "--allow", "partial")
    assert done.returncode == 0, done.stderr
    note = f"partial: 2 of 6 test examples are not extracted yet ({SHARD})"
    assert note in done.stdout + done.stderr
    metrics = json.loads((store / "results/vote-partial/metrics.json").read_text("utf-8"))
    assert metrics["scored"] == 4
    assert metrics["notes"] == [note]
    assert not (store / "results/vote").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_mended_image_is_retried(savs, extract, inputs, tmp_path, split):
    store, image = tmp_path / "store", inputs.root / f"images/{split}2.png"
    good = image.read_bytes()
    image.write_bytes(good[: len(good) // 2])
    first = extract(code=4)
    assert f"skipped {split} {split}:2: " in first.stderr
    assert "fix the files and run again with --retry-skipped" in first.stderr
    assert savs("select", store, "--heads", "3").returncode == 0
    before = shards(store)
    extract()  # without the flag nothing is retried, and old skips are no failure of this run
    assert shards(store) == before

    image.write_bytes(good)
    done = json.loads(extract("--retry-skipped", "--json").stdout)
    assert (done["rows"], done["skipped"]) == (2, [])
    mended, after = f"{split}-00001.h5", shards(store)
    assert after.pop(mended) != before.pop(mended)
    assert after == before
    assert problems(savs, store) == []
    assert f"{split}:2" in open_store(store).examples(split)["id"].to_list()

    scored = savs("evaluate", store, "--verbose")
    if split == "train":
        assert scored.returncode == 1
        assert "holds a selection of other training examples than the store's" in scored.stderr
        assert f"run savs select {store} --readout vote" in scored.stderr
        assert savs("select", store, "--heads", "3").returncode == 0
        assert savs("evaluate", store).returncode == 0
    else:
        assert scored.returncode == 0, scored.stderr
        assert f"using {store}/results/vote\n" in scored.stderr


def test_a_store_of_another_format_has_the_exit_code_of_stores(savs, store):
    manifest = store / "store.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 2}))
    refused = savs("evaluate", store)
    assert refused.returncode == 3
    assert "store.json: format is 2, expected 1" in refused.stderr
