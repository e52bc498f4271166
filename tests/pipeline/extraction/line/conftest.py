import pytest

from savs.pipeline.extraction.model.load import load_encoder
from savs.pipeline.extraction.model.model_options import ModelOptions


@pytest.fixture
def encoder(tiny_model):
    return load_encoder(ModelOptions(model=str(tiny_model("qwen2_vl"))))
