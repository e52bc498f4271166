import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from savs.datasets import MediaError, MediaFolder
from savs.datasets.media.media import MediaRules, is_foreign, locate


def folder(root: Path, *names: str) -> MediaFolder:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return MediaFolder(root)


@pytest.mark.parametrize(
    ("there", "name", "found"),
    [
        (["cats/1.jpg"], "/home/you/cats/1.jpg", "cats/1.jpg"),
        (["cats/1.jpg", "1.jpg"], "/home/you/cats/1.jpg", "cats/1.jpg"),
        (["1.jpg"], "/home/you/cats/1.jpg", "1.jpg"),
        (["home/you/cats/1.jpg", "cats/1.jpg"], "/home/you/cats/1.jpg", "home/you/cats/1.jpg"),
        (["cats/1.jpg"], "C:\\Users\\you\\cats\\1.jpg", "cats/1.jpg"),
        (["cats/1.jpg"], "D:/data/cats/1.jpg", "cats/1.jpg"),
        (["cats/1.jpg"], "\\\\server\\share\\cats\\1.jpg", "cats/1.jpg"),
        (["cats/1.jpg"], "\\data\\cats\\1.jpg", "cats/1.jpg"),
        (["cats/1.jpg"], "\\", None),
        (["cats\\1.jpg", "1.jpg"], "/home/you/cats\\1.jpg", "cats\\1.jpg"),
        (["cats/1.jpg"], "/data/dogs/../cats/1.jpg", "cats/1.jpg"),
        (["photos/cats/1.jpg"], "/home/you/cats/1.jpg", None),
        (["cats/1.jpg"], "/home/you/dogs/1.jpg", None),
        (["cats/1.jpg"], "/", None),
        # backslashes of relative names separate folders
        (["cats/1.jpg"], "cats\\1.jpg", "cats/1.jpg"),
        (["cats/1.jpg"], "dogs\\..\\cats\\1.jpg", "cats/1.jpg"),
        (["cats/1.jpg", "cats\\1.jpg"], "cats\\1.jpg", "cats\\1.jpg"),
        (["cats/1.jpg"], "..\\cats\\1.jpg", None),
    ],
)
def test_the_longest_end_from_the_root_on_counts(
    tmp_path: Path, there: list[str], name: str, found: str | None
) -> None:
    media = folder(tmp_path, *there)
    assert locate(tmp_path, name) == (None if found is None else tmp_path / found)
    assert media.has(name) is (found is not None)
    assert is_foreign(tmp_path, name) is not name.startswith(("cats", "dogs", ".."))
    if found is not None:
        assert media.read(name) == found.encode()


def test_a_file_deeper_down_is_not_guessed_at(tmp_path: Path) -> None:
    media = folder(tmp_path, "a/cats/1.jpg", "c/1.jpg")
    message = (
        f"/home/you/cats/1.jpg is outside the media root {tmp_path}; set `media_root` to the folder"
        " that holds it, or pass `allow_outside`"
    )
    with pytest.raises(MediaError, match=f"^{re.escape(message)}$"):
        media.read("/home/you/cats/1.jpg")
    assert MediaFolder(tmp_path / "a").read("/home/you/cats/1.jpg") == b"a/cats/1.jpg"
    assert MediaFolder(tmp_path / "c").read("/home/you/cats/1.jpg") == b"c/1.jpg"


def test_what_was_found_elsewhere_is_counted(tmp_path: Path) -> None:
    media = folder(tmp_path, "s/1.jpg", "s/2.jpg", "3.jpg")
    names = ["/d/s/1.jpg", "/d/s/2.jpg", "3.jpg", f"{tmp_path}/s/1.jpg", "/d/s/9.jpg", "/d/s/1.jpg"]
    assert media.rerooted(names) == [
        f"2 paths of another machine were matched below {tmp_path}, such as /d/s/1.jpg by"
        f" {tmp_path}/s/1.jpg"
    ]
    assert media.rerooted(["3.jpg", "https://host/s/1.jpg", "v.parquet#0/x"]) == []
    rules = MediaRules(fetching=SimpleNamespace(cached_file=lambda _: None))
    assert MediaFolder(tmp_path, rules=rules).size("https://host/v.parquet#0/x") is None


def test_two_names_that_would_be_one_file_are_refused(tmp_path: Path) -> None:
    media = folder(tmp_path, "1.jpg", "s/1.jpg")
    with pytest.raises(
        MediaError,
        match=rf"^/d/cats/1\.jpg and /d/dogs/1\.jpg both match {tmp_path}/1\.jpg in the .*; set",
    ):
        media.rerooted(["/d/cats/1.jpg", "/d/dogs/1.jpg"])
    assert len(media.rerooted(["/d/cats/1.jpg", "/d/s/1.jpg"])) == 1


def test_names_may_lead_out_when_that_is_allowed(tmp_path: Path) -> None:
    media = folder(tmp_path / "in", "1.jpg")
    (tmp_path / "2.jpg").write_text("two")
    (tmp_path / "1.jpg").write_text("outside")
    free = MediaFolder(media.root, rules=MediaRules(allow_outside=True))
    outside = str(tmp_path / "1.jpg")
    for name in ("../2.jpg", str(tmp_path / "2.jpg")):
        with pytest.raises(MediaError, match=r"is outside the media root .*`allow_outside`$"):
            media.read(name)
        assert not media.has(name)
        assert (free.read(name), free.has(name), free.size(name)) == (b"two", True, 3)
    with pytest.raises(MediaError, match=r"^/none/3\.jpg does not exist$"):
        free.read("/none/3.jpg")
    # an absolute path that is there is meant as it is; one of another machine is still re-rooted
    assert (media.read(outside), free.read(outside)) == (b"1.jpg", b"outside")
    assert free.read("/home/you/1.jpg") == b"1.jpg"
    assert free.rerooted([outside]) == []
    assert len(free.rerooted(["/home/you/1.jpg"])) == len(media.rerooted([outside])) == 1


def test_the_folder_is_never_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    media = folder(tmp_path, *(f"{n}/x.jpg" for n in range(20)))
    for name in ("walk", "scandir", "listdir"):
        monkeypatch.setattr(os, name, lambda *_: pytest.fail("the folder is listed"))
    for n in range(20):
        media.read(f"/home/you/{n}/x.jpg")
        assert not media.has("/home/you/gone.jpg")
        with pytest.raises(MediaError, match="is outside the media root"):
            media.read("/home/you/x.jpg")
