"""The two small models that ship with the project: an LMM of drawn scenes, and a dual encoder."""

from pathlib import Path

DEMO_NAME = "demo"
"""What `--model` calls the shipped model."""
DEMO_MODEL = Path(__file__).parent / "model"
"""Folder of its weights, tokenizer and processor settings."""
DEMO_CLIP_NAME = "demo-clip"
"""What `--model` calls the shipped dual encoder."""
DEMO_CLIP = Path(__file__).parent / "clip"
SHIPPED = {DEMO_NAME: DEMO_MODEL, DEMO_CLIP_NAME: DEMO_CLIP}
"""Name of each shipped model -> its folder."""
