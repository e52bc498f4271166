"""What a repair removes and sets aside, and what it leaves alone."""

import errno
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from claimants import elsewhere, ended, leave_claim, leave_unfinished, show_sign

import savs.stores.maintain.repair
import savs.stores.maintain.verify
import savs.stores.write.opening
from savs.stores import (
    StoreLockedError,
    StoreNotFoundError,
    StoreReadError,
    StoreWriteError,
    open_store,
    open_writer,
)
from savs.stores.maintain.repair import repair
from savs.stores.maintain.verify import verify
from savs.stores.write import signs_of_life as signs
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import Claims

pytestmark = pytest.mark.thorough

SHARDS = [f"train-0000{n}.h5" for n in range(3)] + ["test-00000.h5", "test-00001.h5"]
BAD = ["train-00001.h5", "test-00000.h5"]
GONE = "train-00002.h5"
TO_REDO = ["train-00001.h5", "train-00002.h5", "test-00000.h5"]


@pytest.fixture
def folder(tmp_path, toy) -> Path:
    toy.skip = {"test": {1: "no image"}}
    assert toy.write(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def damaged(folder) -> Path:
    """Return a store with two damaged shards, in reverse order of the plan, and a missing one."""
    for name in reversed(BAD):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 1
        (folder / name).write_bytes(data)
    (folder / GONE).unlink()
    return folder


def test_a_whole_store_is_left_as_it_is(folder, listing) -> None:
    before = listing(folder)
    done = repair(folder)
    assert (done.removed, done.set_aside, done.to_redo, done.report.problems) == ((), (), (), ())
    assert listing(folder) == before


def test_damaged_shards_are_set_aside_and_good_ones_stay(damaged, listing) -> None:
    before = listing(damaged)
    done = repair(damaged)
    assert set(done.set_aside) == set(BAD)
    assert done.to_redo == tuple(TO_REDO)
    assert [problem.file for problem in done.report.problems] == [GONE]
    expected = {f"{name}.damaged" if name in BAD else name: at for name, at in before.items()}
    assert listing(damaged) == expected  # bytes and times


def test_what_was_set_aside_can_be_written_again(damaged, toy, listing) -> None:
    repair(damaged)
    before = listing(damaged)
    with open_writer(damaged, toy.identity(), toy.rows(), shard_rows=2) as writer:
        assert [spec.name for spec in writer.missing()] == TO_REDO
        for spec in writer.missing():
            writer.write(spec, toy.content(spec))
        assert writer.seal()
    report = verify(damaged)
    assert (report.problems, report.sealed) == ((), True)
    after, untouched = listing(damaged), set(SHARDS) - set(TO_REDO)
    assert {name: after[name] for name in untouched} == {name: before[name] for name in untouched}

    store = open_store(damaged)
    for split, places in (("train", range(5)), ("test", (0, 2))):
        expected = np.concatenate([toy.values(split, n)[:, places] for n in (0, 2)])
        np.testing.assert_array_equal(store.features(split), expected)
    assert store.skipped("test")["reason"].to_list() == ["no image"]
    assert repair(damaged).to_redo == ()


def test_quick_judges_by_sizes_and_headers(damaged, listing) -> None:
    os.truncate(damaged / "train-00000.h5", 1000)
    done = repair(damaged, quick=True)
    assert done.set_aside == ("train-00000.h5",)
    assert done.to_redo == ("train-00000.h5", GONE)
    assert {*BAD} <= set(listing(damaged))


def test_what_dead_writers_left_goes(folder, listing) -> None:
    before = listing(folder)
    left = [
        leave_claim(folder, "train-00001.h5", ended()),
        leave_claim(folder, "train-00001.h5", ended(), generation=1),
        show_sign(folder, ended()),
        leave_unfinished(folder, "store.json"),
        leave_unfinished(folder, "train-00001.h5"),
    ]
    done = repair(folder)
    assert set(done.removed) == {str(path.relative_to(folder)) for path in left}
    assert (done.set_aside, done.to_redo, done.report.problems) == ((), (), ())
    assert listing(folder) == before


def test_a_first_sign_that_never_got_its_name_goes(folder, listing) -> None:
    before = listing(folder)
    sign = show_sign(folder, ended())
    sign = sign.rename(sign.with_name(sign.name + ".new"))  # where its writer was killed
    (problem,) = verify(folder).problems
    assert (problem.file, problem.kind) == (f"claims/{sign.name}", "left-over")
    assert repair(folder).removed == (problem.file,)
    assert listing(folder) == before


def test_a_store_that_a_live_writer_works_on_is_left_alone(damaged, toy, listing) -> None:
    with open_writer(damaged, toy.identity(), toy.rows(), shard_rows=2):
        left = {
            leave_unfinished(damaged, "train-00002.h5"),
            leave_claim(damaged, "train-00001.h5", ended()),
        }
        before = listing(damaged)
        message = rf"is being written by process {os.getpid()} on .*; wait for it, or stop it"
        with pytest.raises(StoreLockedError, match=message):
            repair(damaged)
        assert listing(damaged) == before
    assert set(repair(damaged).removed) == {str(path.relative_to(damaged)) for path in left}


@pytest.mark.parametrize("lives", [True, False])
def test_whether_a_writer_elsewhere_lives_is_waited_for(damaged, monkeypatch, lives) -> None:
    far = elsewhere()
    sign = show_sign(damaged, far)
    looks: list[int] = []

    def look(seconds: float) -> None:
        looks.append(len(looks))
        if lives and len(looks) == 3:
            show_sign(damaged, far, beat=2)

    monkeypatch.setattr(savs.stores.write.opening.time, "sleep", look)
    monkeypatch.setattr(signs, "STALE_S", 300.0 if lives else 0.1)
    if lives:
        with pytest.raises(StoreLockedError, match="is being written by process 7 on"):
            repair(damaged)
        assert len(looks) == 3
    else:
        assert str(sign.relative_to(damaged)) in repair(damaged).removed
        assert looks


def test_what_is_not_of_the_store_stays(folder) -> None:
    (folder / "features.parquet.host-7-ab.partial").write_text("an export that is being written")
    assert repair(folder).removed == ()


def test_a_shard_that_was_mended_since_it_was_found_damaged_stays(
    damaged, toy, monkeypatch
) -> None:
    def find_then_mend(*args, **more):
        report = verify(*args, **more)
        for name in BAD:
            (damaged / name).unlink()
        toy.write(damaged)
        return report

    monkeypatch.setattr(savs.stores.maintain.repair, "verify", find_then_mend)
    done = repair(damaged)
    assert (done.set_aside, done.to_redo) == ((), ())
    assert verify(damaged).problems == ()


def test_a_writer_that_comes_while_a_shard_is_set_aside_leaves_it_alone(
    damaged, toy, monkeypatch
) -> None:
    rename, claimed = os.replace, []

    def rename_while_another_comes(old, new) -> None:
        if not claimed and str(new).endswith(".damaged"):
            rename(old, new)
            with open_writer(damaged, toy.identity(), toy.rows(), shard_rows=2) as writer:
                shards = writer.open_shards(writer.missing())
                claimed.extend(spec.name for spec in shards.claimed())
            return
        rename(old, new)

    monkeypatch.setattr(os, "replace", rename_while_another_comes)
    assert set(repair(damaged).set_aside) == set(BAD)
    assert claimed == [GONE]
    toy.write(damaged)
    assert verify(damaged).problems == ()


def test_strays_are_told_and_stay(damaged, listing) -> None:
    (damaged / "mine.h5").write_text("hello")
    shutil.copyfile(damaged / "train-00000.h5", damaged / "copy.h5")
    problems = {problem.file: problem.kind for problem in repair(damaged).report.problems}
    assert problems == {GONE: "missing", "mine.h5": "foreign", "copy.h5": "foreign"}
    assert {"mine.h5", "copy.h5"} <= set(listing(damaged))


def test_an_unfinished_store_lists_what_was_never_done(tmp_path, toy) -> None:
    toy.write(tmp_path, only=2)
    (tmp_path / "train-00000.h5").write_text("hello")
    done = repair(tmp_path)
    assert done.set_aside == ("train-00000.h5",)
    assert done.to_redo == ("train-00000.h5", *SHARDS[2:])
    assert not done.report.sealed


def refuse(*args: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@pytest.mark.parametrize("step", ["replace", "unlink"])
def test_a_folder_that_cannot_be_written_is_told(damaged, listing, monkeypatch, step) -> None:
    if step == "unlink":
        leave_unfinished(damaged, "train-00002.h5")
    before = listing(damaged)
    with monkeypatch.context() as patch:
        if step == "replace":
            patch.setattr(os, "replace", refuse)
        else:
            unlink = Path.unlink
            patch.setattr(
                Path,
                "unlink",
                lambda self, missing_ok=False: (
                    refuse() if self.suffix == ".partial" else unlink(self, missing_ok)
                ),
            )
        message = r"store cannot be repaired: .*Read-only file system; make the folder writable"
        with pytest.raises(StoreWriteError, match=message) as refusal:
            repair(damaged)
    assert isinstance(refusal.value, OSError)
    assert listing(damaged) == before


def test_where_no_store_is_nothing_is_repaired(tmp_path, listing) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "circle").symlink_to("circle")
    for name, error in (("file", StoreNotFoundError), ("circle", StoreReadError)):
        with pytest.raises(error, match=name):
            repair(tmp_path / name)
    (tmp_path / "circle").unlink()
    leave_unfinished(tmp_path, "store.json")
    before = listing(tmp_path)
    with pytest.raises(StoreNotFoundError, match=r"holds no store\.json"):
        repair(tmp_path)
    assert listing(tmp_path) == before


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.h5"))}


@pytest.mark.parametrize(
    ("old", "new"), [(b"toy", b"toz"), (b"\n", b"\r"), (b' "sha256": "', b' "sha256": "0')]
)
def test_no_shard_is_judged_by_a_manifest_that_has_changed(folder, old, new) -> None:
    path, before = folder / "store.json", shards(folder)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    (problem,) = verify(folder).problems
    assert (problem.file, problem.kind) == ("store.json", "manifest")
    done = repair(folder)
    assert (done.set_aside, done.to_redo) == ((), ())
    assert shards(folder) == before


def test_a_shard_that_may_not_be_read_is_not_set_aside(folder, monkeypatch) -> None:
    def refuse(path, *_):
        raise StoreReadError(f"{path} cannot be read: Permission denied; check its permissions")

    monkeypatch.setattr(savs.stores.maintain.verify, "open_shard", refuse)
    before = shards(folder)
    problems = verify(folder).problems
    assert {problem.kind for problem in problems} == {"unreadable"}
    assert problems[0].what == "it cannot be read: Permission denied"
    assert repair(folder).set_aside == ()
    assert shards(folder) == before


def test_what_was_set_aside_before_is_kept(folder) -> None:
    path = sorted(folder.glob("*.h5"))[0]
    good = path.read_bytes()
    for end in (b"a", b"b", b"c"):
        path.write_bytes(good + end)
        repair(folder)
        path.write_bytes(good)
    aside = [folder / f"{path.name}.damaged{end}" for end in ("", ".2", ".3")]
    assert [p.read_bytes()[-1:] for p in aside] == [b"a", b"b", b"c"]
    assert verify(folder).problems == ()


def test_odd_things_in_the_folder_end_nothing(folder) -> None:
    for name in ("x.h5", "claims", "y.partial"):
        (folder / name).mkdir()
    (folder / "z.h5").symlink_to("nowhere")
    assert verify(folder).problems == ()
    assert repair(folder).removed == ()


def test_a_folder_with_the_name_of_a_claim_keeps_no_store_from_its_repair(folder) -> None:
    claim = leave_claim(folder, "train-00000.h5", ended())
    strange = folder / "claims" / "train-00001.h5.0"
    strange.mkdir()
    (folder / "train-00000.h5").write_bytes(b"no HDF5")
    mended = repair(folder)
    assert mended.removed == (f"claims/{claim.name}",)
    assert mended.set_aside == ("train-00000.h5",)
    assert strange.is_dir()


def test_a_writer_that_comes_while_shards_are_verified_is_left_alone(
    folder, toy, monkeypatch
) -> None:
    """It takes over what a dead writer left, and begins a shard and store.json."""
    name = "train-00001.h5"
    (folder / name).unlink()
    old = [
        leave_claim(folder, name, ended()),
        leave_claim(folder, "test-00000.h5", ended()),
        leave_unfinished(folder, "store.json"),
        show_sign(folder, ended()),
    ]

    with ExitStack() as stack:

        def verify_while_another_comes(*args, **more):
            report = verify(*args, **more)
            claims = stack.enter_context(Claims(ClaimFiles(folder)))
            assert claims.take(name)
            claims.release(name)
            assert claims.take(name)  # its file has the name of that of the dead writer
            new = folder / f"{name}.host_1-8-00000000.partial"
            new.write_text("begun")
            stack.callback(new.unlink)
            stack.callback(lambda: held.append(claims.holds(name)))
            return report

        held: list[bool] = []
        monkeypatch.setattr(savs.stores.maintain.repair, "verify", verify_while_another_comes)
        done = repair(folder)
        assert set(done.removed) == {str(path.relative_to(folder)) for path in old[1:]}
        (sign,) = (folder / "claims").glob("*.rank")
        assert sign.exists()
    assert held == [True]


def test_a_shard_that_another_repair_sets_aside_meanwhile_is_missing(folder, monkeypatch) -> None:
    (folder / SHARDS[0]).write_bytes(b"damaged")
    judge = savs.stores.maintain.verify.shard_problem

    def judge_late(*given, **options):
        if (folder / SHARDS[0]).exists():
            (folder / SHARDS[0]).rename(folder / f"{SHARDS[0]}.damaged")
        return judge(*given, **options)

    monkeypatch.setattr(savs.stores.maintain.verify, "shard_problem", judge_late)
    done = repair(folder)
    assert done.to_redo == (SHARDS[0],)
    assert (folder / f"{SHARDS[0]}.damaged").read_bytes() == b"damaged"
