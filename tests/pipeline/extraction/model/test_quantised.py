"""Quantised weights: the heads are those of the values that they stand for."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from savs.pipeline.extraction.entry_points import load_model

GREATEST = 448
"""Of float8_e4m3fn."""
PROMPTS = [("Short?",), ("A longer one.",)]
FP8 = {
    "quant_method": "fp8",
    "activation_scheme": "dynamic",
    "weight_block_size": [128, 128],
    "modules_to_not_convert": ["lm_head", "model.visual"],
}


def saved(folder, like, weights, **config):
    """Save weights next to the other files of a checkpoint."""
    shutil.copytree(like, folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    known = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(known | config))
    return folder


@pytest.fixture
def folders(tiny_model, tmp_path):
    """Return an FP8 checkpoint, and one with the values of its weights in float32."""
    plain = tiny_model("qwen2_vl")
    weights = load_file(plain / "model.safetensors")
    rounded, packed = dict(weights), dict(weights)
    names = [n for n in weights if ".layers." in n and n.endswith("proj.weight")]
    assert len(names) > 10
    for name in names:  # smaller than a block: one scale each
        scale = weights[name].abs().max() / GREATEST
        packed[name] = (weights[name] / scale).to(torch.float8_e4m3fn)
        packed[name.replace("weight", "weight_scale_inv")] = scale.reshape(1, 1)
        rounded[name] = packed[name].float() * scale
    packed_folder = saved(tmp_path / "fp8", plain, packed, quantization_config=FP8)
    return packed_folder, saved(tmp_path / "rounded", plain, rounded)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in FP8")
def test_an_fp8_checkpoint_on_a_cpu_has_the_heads_of_its_weights_values(folders):
    packed, rounded = (load_model(str(folder), dtype="float32") for folder in folders)
    assert packed.dtype == "float32"
    assert [p.grid for p in packed.hook_points] == [p.grid for p in rounded.hook_points]
    ours, theirs = (model.read(model.inputs(PROMPTS)).heads for model in (packed, rounded))
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our, their, rtol=1e-4, atol=1e-6)
