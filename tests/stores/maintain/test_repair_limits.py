"""What a repair leaves alone: whatever it cannot judge, and whatever it set aside before."""

import shutil
from contextlib import ExitStack
from pathlib import Path

import pytest
from claimants import ended, leave_claim, leave_unfinished, show_sign

import savs.stores.maintain.repair
import savs.stores.maintain.verify
from savs.stores import StoreNotFoundError, StoreReadError
from savs.stores.maintain.repair import repair
from savs.stores.maintain.verify import verify
from savs.stores.write.claim_files import ClaimFiles
from savs.stores.write.claims import Claims


@pytest.fixture
def folder(tmp_path, toy) -> Path:
    toy.write(tmp_path)
    return tmp_path


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.h5"))}


def test_where_no_store_is_nothing_is_repaired(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "circle").symlink_to("circle")
    for name, error in (("file", StoreNotFoundError), ("circle", StoreReadError)):
        with pytest.raises(error, match=name):
            repair(tmp_path / name)


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


@pytest.mark.thorough
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


def test_an_unreadable_stray_is_foreign(folder, monkeypatch) -> None:
    shutil.copy(sorted(folder.glob("*.h5"))[0], folder / "stray.h5")
    assert [problem.kind for problem in verify(folder).problems] == ["duplicate"]
    monkeypatch.setattr(savs.stores.maintain.verify, "_sha256", lambda path: None)
    kinds = {problem.file: problem.kind for problem in verify(folder, quick=True).problems}
    assert kinds == {"stray.h5": "foreign"}


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
