"""Which modules the heads of a decoder are read from, and how many each layer has."""

from types import SimpleNamespace

import pytest
import torch
from families.shrinking import shrink
from torch import nn
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

from savs.pipeline.errors import ModelError
from savs.pipeline.extraction.model.hook_points import find_hook_points, image_tokens
from savs.pipeline.extraction.model.reading import Reading

HIDDEN = 12


class Gated(nn.Module):
    """An output projection with a gate before it, as Inkling has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, width)
        self.linear = nn.Linear(width, HIDDEN)

    def forward(self, values, hidden):
        return self.linear(values * torch.sigmoid(self.gate_proj(hidden)))


class Attention(nn.Module):
    """Values of a layer's own number of heads; its configuration says four."""

    def __init__(self, heads: int, width: int, projection: nn.Module) -> None:
        super().__init__()
        self.config = SimpleNamespace(num_attention_heads=4)
        self.num_heads = heads
        self.values = nn.Linear(HIDDEN, heads * width)
        self.o_proj = projection

    def forward(self, hidden):
        given = (self.values(hidden),)
        return (
            self.o_proj(*given, hidden) if isinstance(self.o_proj, Gated) else self.o_proj(*given)
        )


class Decoder(nn.Module):
    """Two layers: six gated heads 5 wide, and two heads 8 wide."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            is_encoder_decoder=False, get_text_config=lambda decoder: SimpleNamespace()
        )
        self.layers = nn.ModuleList(nn.Module() for _ in range(2))
        self.layers[0].self_attn = Attention(6, 5, Gated(30))
        self.layers[1].self_attn = Attention(2, 8, nn.Linear(16, HIDDEN))

    def get_decoder(self):
        return self

    def forward(self, hidden):
        for layer in self.layers:
            hidden = hidden + layer.self_attn(hidden)
        return hidden


def test_each_layer_has_its_own_heads_and_a_gate_belongs_to_them() -> None:
    torch.manual_seed(0)
    model = Decoder()
    points = find_hook_points(model)
    assert [(len(p.grid.heads), p.grid.head_dim) for p in points] == [(6, 5), (2, 8)]
    hidden = torch.randn(1, 3, HIDDEN)
    with (
        torch.inference_mode(),
        Reading(dict(enumerate(points)), {}, to_the_end=True) as reading,
    ):
        model(hidden)
    first: Attention = model.layers[0].self_attn  # type: ignore[assignment]
    gate = torch.sigmoid(first.o_proj.gate_proj(hidden))  # type: ignore[operator,union-attr]
    expected = (first.values(hidden) * gate)[:, -1]
    torch.testing.assert_close(reading.features[0], expected)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("kimi_linear", AutoModelForCausalLM),
        ("bailing_hybrid", AutoModelForCausalLM),
        ("minimax", AutoModelForCausalLM),
        ("qwen3_next", AutoModelForCausalLM),
        ("glm5_next", AutoModelForImageTextToText),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_layers_of_linear_attention_have_no_heads(family, kind):
    with torch.device("meta"):
        model = kind.from_config(shrink(CONFIG_MAPPING[family]()))
    kinds = model.config.get_text_config().layer_types
    softmax = [number for number, found in enumerate(kinds) if found != "linear_attention"]
    assert 0 < len(softmax) < len(kinds)
    assert [point.grid.layer for point in find_hook_points(model)] == softmax


def test_a_decoder_of_linear_attention_alone_is_refused():
    model = Decoder()
    model.config.get_text_config = lambda decoder: SimpleNamespace(
        layer_types=["linear_attention"] * 2
    )
    with pytest.raises(ModelError, match="no layer of its decoder, Decoder, has softmax self-"):
        find_hook_points(model)


def test_a_layer_that_the_model_skips_is_named():
    decoder = Decoder()
    points = find_hook_points(decoder)
    with (
        pytest.raises(ModelError, match="reached 1 of 2 places to read, and not heads of layer 1"),
        Reading(dict(enumerate(points)), {}, to_the_end=True),
    ):
        decoder.layers[0].self_attn(torch.zeros(1, 1, HIDDEN))


def test_tokens_of_images_and_videos_are_parts_of_what_is_seen():
    config = SimpleNamespace(image_token_id=7, video_token_index=9, audio_token_id=11)
    assert image_tokens("a", config) == (7, 9)
    assert image_tokens("a", SimpleNamespace(image_token_index=7)) == (7,)
    with pytest.raises(ModelError, match="the configuration of a does not say which token stands"):
        image_tokens("a", SimpleNamespace(video_token_id=9))
