"""Encoders of images and of texts, and embedding models: their inputs, and what is read of them."""

from savs.pipeline import prompts as prompts  # before torch, see there
