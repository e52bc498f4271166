"""A bundle goes to the hub and comes back, against a stand-in that speaks its API."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hub import TOKEN, Hub, Place, Repository, serving_hub
from saved_selections import two_task_store

from savs import load_selection, save_selection, select, write_bundle
from savs.pipeline.classifying.bundle.hub import find_classifier
from savs.pipeline.errors import HubError

pytestmark = pytest.mark.thorough

RIGHT = {"HF_TOKEN": TOKEN}


@pytest.fixture
def hub(tmp_path) -> Iterator[Hub]:
    with serving_hub() as found:
        found.made, found.owners = tmp_path / "repositories", ("org",)
        yield found


@pytest.fixture
def bundle(tmp_path) -> Path:
    store = two_task_store(tmp_path / "store")
    saved = save_selection(select(store, heads=2), tmp_path / "saved")
    return write_bundle(store, saved, tmp_path / "bundle").path


def test_a_bundle_is_pushed_and_each_refusal_is_one_line(hub, bundle, tmp_path) -> None:
    (bundle / "predictions.parquet").write_text("of the user alone")
    damaged = shutil.copytree(bundle, tmp_path / "damaged")
    (damaged / "classifier.safetensors").write_bytes(b"0" * 100)
    place = Place(hub, tmp_path)
    given = ("push", str(bundle), "org/animals")
    cases = {
        (*given, "--message", "First"): (RIGHT, 0, "savs classify hf://org/animals IMAGES"),
        (*given, "--private"): (RIGHT, 1, "org/animals exists and is public"),
        ("push", str(bundle), "org/secret", "--private"): (RIGHT, 0, "use it as"),
        given: ({}, 1, "no token for the hub; set HF_TOKEN, or run `hf auth login`"),
        ("push", str(bundle), "other/animals"): (RIGHT, 1, "the token may not write there"),
        (*given, "--json"): ({"HF_TOKEN": "hf_wrong"}, 1, "the hub refuses the token"),
        ("push", str(bundle), "animals"): (RIGHT, 1, "expected owner/name"),
        ("push", str(bundle), "org/ani mals"): (RIGHT, 1, "is no name on the hub"),
        ("push", str(tmp_path / "none"), "org/x"): (RIGHT, 1, "is not a folder"),
        ("push", str(tmp_path / "saved"), "org/x"): (RIGHT, 1, "it has no README.md"),
        ("push", str(damaged), "org/x"): (RIGHT, 1, "classifier.safetensors cannot be read"),
    }
    env = {"HF_HUB_DISABLE_XET": "1", "HF_TOKEN_PATH": str(tmp_path / "no token")}
    found = place.run(*((args, own) for args, (own, _, _) in cases.items()), **env)
    for (code, said), (_, expected, reason) in zip(found, cases.values(), strict=True):
        assert code == expected, said
        assert reason in said
        assert said.count("\n") == 1
    there = hub.repositories["models/org/animals"].folder
    assert {path.name for path in there.iterdir()} == {
        *("README.md", "classifier.safetensors", "config.json")
    }
    for name in ("README.md", "classifier.safetensors", "config.json"):
        assert (there / name).read_bytes() == (bundle / name).read_bytes()
    assert hub.repositories["models/org/secret"].private
    assert set(hub.repositories) == {"models/org/animals", "models/org/secret"}


def test_names_of_the_hub() -> None:
    assert find_classifier("pets") == Path("pets")
    with pytest.raises(HubError, match="pass the text hf://org/animals instead"):
        find_classifier(Path("hf://org/animals"))
    for wrong in ("hf://animals", "hf://a/b/c", "hf://org/ani mals"):
        with pytest.raises(HubError, match="is no name on the hub"):
            find_classifier(wrong)


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
    saved = save_selection(select(done.store, heads=4), tmp_path / "saved")
    assert load_selection(saved).model["name"] == "demo"
    bundle = write_bundle(done.store, saved, tmp_path / "bundle").path
    return bundle, scenes.root / kept[0]["image"]
