"""What a Ray actor is given by its environment; no cluster is needed."""

from savs.pipeline.cluster.ray_engine import _environment


def test_actors_get_the_variables_of_models_storages_and_options(monkeypatch) -> None:
    given = {
        "HF_HUB_OFFLINE": "1",
        "AWS_ENDPOINT_URL": "http://storage",
        "GOOGLE_APPLICATION_CREDENTIALS": "/key.json",
        "AZURE_STORAGE_ACCOUNT_NAME": "me",
        "SAVS_EXTRACT_BATCH_SIZE": "4",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SECRET_OF_ANOTHER_PROGRAM", "x")
    found = _environment(3, 8)
    assert given.items() <= found.items()
    assert (found["RANK"], found["WORLD_SIZE"]) == ("3", "8")
    assert (found["LOCAL_RANK"], found["LOCAL_WORLD_SIZE"]) == ("0", "1")  # it sees its own GPUs
    assert "SECRET_OF_ANOTHER_PROGRAM" not in found
