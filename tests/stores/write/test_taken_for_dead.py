"""Real processes that write a store, are stopped or killed, and continued after others went on."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import stores
from savs.stores import open_store
from savs.stores.maintain.verify import verify

pytestmark = pytest.mark.costly

WRITER = """
import sys
from pathlib import Path
import numpy as np
import savs.foundation.files as whole_files
from savs.stores import ShardContent, open_writer
from savs.stores.write import signs_of_life as signs, writer as writing
from stores import GRID, columns, identity, planned

signs.STALE_S, signs.BEAT_S, writing.LOOK_EVERY_S = 1.0, 0.05, 0.02
folder, skip, pause = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
publish = whole_files.publish

def say(event):
    print(event, flush=True)
    if event == pause:
        sys.stdin.readline()

def publish_after(partial, path, *, replace):
    say(f"before naming {path.name}")
    publish(partial, path, replace=replace)

whole_files.publish = publish_after
with open_writer(folder, identity(), {"train": planned("train", 8)}, shard_rows=2) as writer:
    shards = writer.open_shards(writer.missing() or writer.reopen_skipped())
    while shards.wait():
        for spec in shards.claimed():
            say(f"claimed {spec.name}")
            places = range(spec.start, spec.stop)
            kept = [{"index": p, "id": f"train:{p}", "label": "a"} for p in places]
            gone = [kept.pop(0)] if skip else []
            values = np.full((3, len(kept), 4), spec.start, np.float32)
            content = ShardContent(
                {grid.layer: values[: len(grid.heads)] for grid in GRID},
                columns("train", kept),
                columns("train", gone) | {"reason": ["no image"] * len(gone)},
                {"writer": writer.claims.process.id},
            )
            print("wrote", spec.name, writer.write(spec, content), flush=True)
    print("sealed", writer.seal(), flush=True)
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path) -> Iterator[Start]:
    """Return a function that starts a writer; it waits for a line when it says `pause`."""
    path = os.pathsep.join([str(Path(stores.__file__).parent), os.environ.get("PYTHONPATH", "")])
    with ExitStack() as stack:

        def begin(pause: str = "", skip: int = 0) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path / "s"), str(skip), pause],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"PYTHONPATH": path},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            while pause and process.stdout.readline() != f"{pause}\n":
                assert process.poll() is None
            return process

        yield begin


def end(process: "subprocess.Popen[str]") -> list[str]:
    """Let a process go on to its end, and return what it says."""
    said, _ = process.communicate("\n")
    assert process.returncode == 0
    return said.splitlines()


def check_whole(folder: Path, rows: int = 8) -> None:
    assert verify(folder).problems == ()
    store = open_store(folder)
    assert store.manifest.sealed
    starts = [row - row % 2 for row in range(8) if rows == 8 or row % 2]
    expected = np.tile(np.array(starts, np.float32)[:, None], (5, 1, 4)).reshape(5, rows, 4)
    np.testing.assert_array_equal(store.features("train"), expected)
    assert {path.suffix for path in folder.iterdir()} == {".h5", ".json"}


MOMENTS = ["claimed train-00001.h5", "before naming train-00001.h5", "before naming store.json"]


@pytest.mark.parametrize("again", [False, True], ids=["new shards", "shards made again"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_that_was_stopped_and_goes_on_publishes_nothing_twice(
    start, tmp_path, moment, again
) -> None:
    folder = tmp_path / "s"
    if again or "store.json" in moment:  # so that store.json changes: shards are unlisted, sealed
        end(start(skip=1))
        check_whole(folder, rows=4)
    asleep = start(moment)
    os.kill(asleep.pid, signal.SIGSTOP)
    others = end(start())
    assert others[-1] == "sealed True"
    before = {path.name: path.read_bytes() for path in folder.glob("*.h5")}
    os.kill(asleep.pid, signal.SIGCONT)
    said = end(asleep)
    assert said[-1] == "sealed True"
    assert not any(line.startswith("wrote train-00001.h5 True") for line in said)
    assert {path.name: path.read_bytes() for path in folder.glob("*.h5")} == before
    check_whole(folder)


@pytest.mark.parametrize("moment", MOMENTS)
def test_what_one_that_was_killed_had_claimed_is_made_by_the_others(
    start, tmp_path, moment
) -> None:
    if "store.json" in moment:
        end(start(skip=1))
    killed = start(moment)
    working = start(f"claimed train-0000{1 if 'store.json' in moment else 2}.h5")
    late = start()
    killed.kill()
    killed.wait()
    said = [end(working), end(late)]
    assert {lines[-1] for lines in said} == {"sealed True"}
    assert sum(line.endswith(" True") for lines in said for line in lines[:-1]) >= 2
    check_whole(tmp_path / "s")
