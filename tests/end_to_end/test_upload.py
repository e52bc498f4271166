"""Classifiers and stores go to the hub and come back, against a stand-in that speaks its API."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from hub import TOKEN, Hub, Place, Repository, hub_here, serving_hub
from saved_selections import two_task_store

from savs import (
    SavsError,
    load_selection,
    open_store,
    save_selection,
    select,
    verify,
    write_bundle,
)
from savs.pipeline.classifying.bundle.bundle import (
    SHIPPED_MODEL,
    SPACE,
    bundle_files,
    space_files,
)
from savs.pipeline.classifying.bundle.hub import find_classifier, push
from savs.pipeline.errors import HubError
from savs.stores import ResultError

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),  # of huggingface_hub
]

RIGHT = {"HF_TOKEN": TOKEN}
FILES = {"README.md", "classifier.safetensors", "config.json"}
"""Of a classifier whose readout is built in."""


@pytest.fixture
def hub(tmp_path) -> Iterator[Hub]:
    with serving_hub() as found:
        found.made, found.owners = tmp_path / "repositories", ("org",)
        yield found


@pytest.fixture
def store(tmp_path) -> Path:
    """Return the folder of a store with two selections."""
    made = two_task_store(tmp_path / "store")
    for readout in ("vote", "lda"):
        chosen = select(made, heads=2, readout=readout)
        save_selection(chosen, made.path / "results" / readout)
    return made.path


@pytest.fixture
def upload(savs, hub, tmp_path, monkeypatch) -> Iterator[Callable[..., tuple[int, str]]]:
    """Return a function that runs `savs export` here, and returns exit code and messages."""
    monkeypatch.delenv("HF_TOKEN", raising=False)

    def run(given: tuple[str, ...], env: dict[str, str]) -> tuple[int, str]:
        done = savs("export", *given, env=env)
        return done.returncode, done.stderr

    with hub_here(hub, HF_TOKEN_PATH=str(tmp_path / "no token")):
        yield run


def test_a_classifier_is_uploaded_and_each_refusal_is_one_line(
    upload, hub, store, tmp_path
) -> None:

    def to(name: str, *more: str) -> tuple[str, ...]:
        return (f"{store}/results/vote", "--to", f"hf://{name}", *more)

    cases = {
        to("org/animals", "--public"): (RIGHT, 0, "hf://org/animals IMAGES"),
        to("org/secret"): (RIGHT, 0, "use it as: savs classify hf://org/secret IMAGES"),
        to("org/animals"): ({}, 1, "no token for the hub; set HF_TOKEN, or run `hf auth login`"),
        to("other/animals"): (RIGHT, 1, "the token may not write there"),
        to("org/animals", "--json"): ({"HF_TOKEN": "hf_wrong"}, 1, "the hub refuses the token"),
        to("animals"): (RIGHT, 1, "expected owner/name"),
        to("org/ani mals"): (RIGHT, 1, "is no name on the hub"),
    }
    for given, (own, expected, reason) in cases.items():
        code, said = upload(given, own)
        assert code == expected, said
        assert reason in said
        assert code == 0 or said.count("\n") == 1, said
    bundle = write_bundle(store, store / "results/vote", tmp_path / "bundle").path
    animals, secret = (hub.repositories[f"models/org/{name}"] for name in ("animals", "secret"))
    assert {path.name for path in animals.folder.iterdir()} == FILES
    for name in FILES:
        assert (animals.folder / name).read_bytes() == (bundle / name).read_bytes()
    assert (animals.private, secret.private) == (False, True)
    assert set(hub.repositories) == {"models/org/animals", "models/org/secret"}


def test_a_store_is_uploaded_and_its_old_shards_removed(upload, hub, store) -> None:
    given = (f"{store}/results/vote", "--to", "hf://datasets/org/features")
    hub.made.mkdir()
    for more in (("--heads", "all"), ()):
        code, said = upload((*given, *more), RIGHT)
        assert code == 0, said
        assert "use it as: hf download org/features --repo-type dataset" in said
    there = hub.repositories["datasets/org/features"]
    assert there.private
    assert open_store(there.folder).heads == sorted(
        {head for task in load_selection(store / "results/vote").tasks for head in task.heads}
    )
    assert verify(there.folder).problems == ()
    saved = "results/vote/config.json"
    assert (there.folder / saved).read_bytes() == (store / saved).read_bytes()
    assert not (there.folder / "results/lda").exists()
    assert "savs" in (there.folder / "README.md").read_text()


def test_a_space_is_uploaded_with_its_model(upload, hub, animals_bundle, tmp_path) -> None:
    given = (str(tmp_path / "s"), "--to")
    out = tmp_path / "pets"
    runs = [
        ((*given, "hf://spaces/org/pets"), RIGHT),
        ((*given, "space", "--out", str(out)), {}),
        ((*given, "hf://spaces/org/pets", "--public"), RIGHT),  # one that exists stays private
        ((*given, "space"), {}),
        ((*given, "hf://spaces/pets"), RIGHT),
    ]
    (first, written, again, no_place, no_name) = (upload(*one) for one in runs)
    assert [code for code, _ in (first, written, again, no_place, no_name)] == [0, 0, 0, 2, 1]
    assert f"the page: {hub.address}/spaces/org/pets" in first[1]
    assert "pets/requirements.txt; python" in written[1]
    assert "--to space needs a place; pass --out PATH" in " ".join(no_place[1].split())
    assert "expected owner/name" in no_name[1]
    there = hub.repositories["spaces/org/pets"]
    assert (there.private, there.sdk) == (True, "gradio")
    for file in space_files(out):
        assert (there.folder / file.relative_to(out)).read_bytes() == file.read_bytes()
    names = {str(path.relative_to(there.folder)) for path in there.folder.rglob("*.*")}
    assert names == {*SPACE, *SHIPPED_MODEL}
    (out / "model").rename(tmp_path / "elsewhere")
    (out / "model").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SavsError, match="model is a link to"):
        push(out, "hf://spaces/org/pets")


def test_only_a_whole_bundle_of_its_own_files_is_uploaded(store, tmp_path) -> None:
    saved = store / "results/vote"
    bundle = write_bundle(store, saved, tmp_path / "bundle").path
    (bundle / "predictions.parquet").write_text("of the user alone")
    assert {path.name for path in bundle_files(bundle)} == FILES
    damaged, linked = (shutil.copytree(bundle, tmp_path / name) for name in ("damaged", "linked"))
    (damaged / "classifier.safetensors").write_bytes(b"0" * 100)
    (linked / "README.md").unlink()
    (linked / "README.md").symlink_to(bundle / "README.md")
    for folder, reason in (
        (tmp_path / "none", "is not a folder"),
        (saved, "it has no README.md"),
        (damaged, "classifier.safetensors cannot be read"),
        (linked, "README.md is a link to"),
    ):
        with pytest.raises(SavsError, match=reason):
            push(folder, "hf://org/x")
    with pytest.raises(SavsError, match=r"is not a Space: it has no predict\.py"):
        push(bundle, "hf://spaces/org/x")


def test_names_of_the_hub() -> None:
    with pytest.raises(ResultError, match="pets does not exist; pass a store, or the folder of a"):
        find_classifier("pets")
    with pytest.raises(HubError, match="pass the text hf://org/animals instead"):
        find_classifier(Path("hf://org/animals"))
    for wrong in ("hf://animals", "hf://a/b/c", "hf://org/ani mals"):
        with pytest.raises(HubError, match="is no name on the hub"):
            find_classifier(wrong)


@pytest.mark.costly
def test_a_classifier_of_the_hub_is_fetched_pinned_and_used_offline(
    hub, animals_bundle, tmp_path
) -> None:
    bundle, image = animals_bundle
    place = Place(hub, tmp_path)
    repository = hub.repositories["models/org/animals"] = Repository(bundle)
    commit = repository.commit
    given = ("classify", "hf://org/animals", str(image), "--out", str(tmp_path / "new.csv"))
    pinned = (*given[:1], f"hf://org/animals@{commit}", *given[2:])
    wrong = ("classify", "hf://org/nothing", str(image))
    other = ("classify", "hf://org/animals@old", str(image))
    found = place.run((given, {}), (pinned, {}), (wrong, {}), (other, {}))
    assert [code for code, _ in found] == [0, 0, 1, 1], found
    assert "there is no such branch, tag or commit" in found[3][1]
    assert f"hf://org/animals is at commit {commit}" in found[0][1]
    assert "hf://org/nothing cannot be fetched: there is no such repository" in found[2][1]
    assert pl.read_csv(tmp_path / "new.csv").height == 1
    fetched = [line.rpartition("/")[2] for line in hub.asked if line.startswith("GET /org")]
    assert sorted(fetched) == ["classifier.safetensors", "config.json"]  # once, and nothing else

    hub.asked.clear()
    ((code, said),) = place.run((given, {}), HF_HUB_OFFLINE="1")
    assert code == 0, said
    assert hub.asked == []

    (repository.folder / "classifier.safetensors").write_bytes(b"1" * 50)
    (repository.folder / "config.json").write_bytes(
        (repository.folder / "config.json").read_bytes().replace(b'"vote"', b'"knn"')
    )
    ((code, said),) = place.run((given, {}))
    assert code == 1
    assert "is not a selection of this release" in said


@pytest.fixture
def animals_bundle(scenes, tmp_path) -> tuple[Path, Path]:
    """Return a bundle of one question about animals, and an image."""
    from savs import extract

    rows = [json.loads(line) for line in scenes.train.read_text().splitlines()]
    kept = [
        {"image": row["images"][0], "question": row["question"], "label": row["label"]}
        for row in rows
        if row["subtask"] == "animal"
    ]
    train = scenes.root / "pushed.jsonl"
    train.write_text("".join(json.dumps(row) + "\n" for row in kept))
    done = extract("general", train=train, test=train, model="demo", out=tmp_path / "s")
    saved = save_selection(select(done.store, heads=4), tmp_path / "s/results/vote")
    assert load_selection(saved).model["name"] == "demo"
    bundle = write_bundle(done.store, saved, tmp_path / "bundle").path
    return bundle, scenes.root / kept[0]["image"]
