"""Stage 1: a model's heads at the last token of each example, written to a store."""

from savs.pipeline import prompts as prompts  # before torch, see there
