import pytest

from savs.pipeline import extract


@pytest.fixture
def run(inputs, tiny_model, tmp_path):
    """Extract the small two-class input into a store."""
    train, test = inputs.few_shots()

    def go(name="store", **options):
        given = {"train": train, "test": test, "model": str(tiny_model("qwen2_vl"))} | options
        return extract("general", out=tmp_path / name, **given)

    return go
