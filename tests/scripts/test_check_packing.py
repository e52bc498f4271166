"""Packed rows: what docs/reference/extraction.md says of them."""

import numpy as np
import pytest
from check_packing import packing_error, padding_share

from savs.pipeline.extraction.entry_points import load_model


@pytest.mark.parametrize(
    ("family", "is_kept"),
    [
        ("qwen2_vl", True),
        pytest.param("llava", True, marks=pytest.mark.thorough),
        pytest.param("gemma3", False, marks=pytest.mark.thorough),
        pytest.param("qwen3_5", False, marks=pytest.mark.thorough),
    ],
)
def test_packed_rows_keep_features_unless_layers_read_across_prompts(tiny_model, family, is_kept):
    error = packing_error(load_model(str(tiny_model(family)), dtype="float32"))
    assert error < 1e-6 if is_kept else error > 1e-2


def test_prompts_of_many_lengths_are_padded_more():
    one, many = np.full(512, 256), np.arange(512) + 64
    assert 0 < padding_share(one) < padding_share(many) < 0.2
