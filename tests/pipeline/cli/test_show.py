import json

import numpy as np
import pytest
from claimants import elsewhere, show_sign

from stores import make_store


@pytest.fixture
def running(tmp_path):
    """Return a store of which two of four shards are missing, and a process that works on it."""
    values = np.ones((2, 6, 4), np.float32)
    store = make_store(tmp_path / "s", values, list("ababab"), values, list("ababab"))
    for name in ("test-00000.h5", "train-00001.h5"):
        (store.path / name).unlink()
    process = elsewhere(77)
    sign = show_sign(store.path, process)
    facts = {"state": "extracting", "rank": 3, "device": "cuda:3"}
    facts |= {"rows": 5, "written": 3, "seconds": 10}
    sign.write_text(json.dumps(process.to_json() | facts))
    return store.path, process


def test_a_running_extraction_shows_rows_rates_and_signs(savs, running) -> None:
    folder, process = running
    done = savs("show", folder)
    assert done.returncode == 0
    *_, summary, header, row = done.stdout.splitlines()
    # Two shards of 3 are there and 2 rows are in work; 4 rows are left at half a row a second.
    assert summary == "8 of 12 examples (66 %), 0.5 per second, 0:08 left"
    assert header.split("  ")[0] == "process"
    words = row.split()
    assert words[: words.index("5")] == f"process 77 on {process.host} 3 cuda:3 extracting".split()
    assert row.endswith(" s ago")
    assert "run the same" not in done.stderr


def test_json_has_the_same(savs, running) -> None:
    found = json.loads(savs("show", running[0], "--json").stdout)["progress"]
    assert (found["rows"], found["planned"], found["seconds_left"]) == (8, 12, 8.0)
    (writer,) = found["writers"]
    assert (writer["rank"], writer["device"], writer["rows"]) == (3, "cuda:3", 5)
    assert (writer["state"], writer["per_second"]) == ("extracting", 0.5)


def test_shards_that_nobody_works_on_come_with_the_way_to_go_on(savs, running) -> None:
    folder, _ = running
    for sign in set(folder.rglob("*")) - set(folder.glob("*.h5")) - {folder / "store.json"}:
        if sign.is_file():
            sign.unlink()
    done = savs("show", folder)
    assert "2 shards are missing: run the same `savs extract` command again to resume" in " ".join(
        done.stderr.split()
    )
