"""CLIP, made small: transformers' own class, with an initialisation that suits the width."""

import random
from collections.abc import Iterator
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
)

from demo_clip.captions import about, names
from savs.datasets.benchmarks.shapes.scenes import random_scene

WIDTH, HEADS, MLP, PROJECTION = 96, 4, 288, 64
VISION_LAYERS, TEXT_LAYERS = 4, 2
IMAGE_PX, PATCH_PX = 112, 14
VOCABULARY = 400
"""At most; 256 are single bytes."""
TEXT_TOKENS = 48
START, END, PAD = "<|startoftext|>", "<|endoftext|>", "<|pad|>"


def build_tokenizer(seed: int) -> Any:
    """Return a byte-level BPE tokenizer learnt from captions; the same seed gives the same one."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[START, END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_corpus(random.Random(f"clip tokens {seed}")), trainer)
    ends = [(token, core.token_to_id(token)) for token in (START, END)]
    core.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        model_max_length=TEXT_TOKENS,
    )


def _corpus(rng: random.Random) -> Iterator[str]:
    for _ in range(300):
        scene = random_scene(rng, part="curriculum")
        for caption in [*names(rng), *about(rng, scene)]:
            yield caption.text


def build_model(tokenizer: Any, seed: int) -> Any:
    """Return a random model; the same seed gives the same weights."""
    shared = {
        "hidden_size": WIDTH,
        "intermediate_size": MLP,
        "num_attention_heads": HEADS,
        "projection_dim": PROJECTION,
    }
    config = CLIPConfig(
        text_config={
            **shared,
            "num_hidden_layers": TEXT_LAYERS,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": TEXT_TOKENS,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            **shared,
            "num_hidden_layers": VISION_LAYERS,
            "image_size": IMAGE_PX,
            "patch_size": PATCH_PX,
        },
        projection_dim=PROJECTION,
    )
    torch.manual_seed(seed)
    model = CLIPModel(config)
    _initialise(model)
    return model


def _initialise(model: Any) -> None:
    """Draw weights by fan-in: the usual 0.02 is too small for this width."""
    for name, weight in model.named_parameters():
        if weight.ndim < 2:
            continue
        if "embedding" in name and "patch" not in name:
            nn.init.normal_(weight, std=0.05)
            continue
        std = weight[0].numel() ** -0.5
        if name.endswith(("out_proj.weight", "fc2.weight")):
            std *= (2 * VISION_LAYERS) ** -0.5
        nn.init.normal_(weight, std=std)


def build_processor(tokenizer: Any) -> Any:
    """Return the processor that goes with the model: no crop, so that each scene is seen whole."""
    side = {"height": IMAGE_PX, "width": IMAGE_PX}
    images = CLIPImageProcessor(size=side, do_center_crop=False, crop_size=side)
    return CLIPProcessor(image_processor=images, tokenizer=tokenizer)
