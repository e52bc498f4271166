"""The small model that ships with the project, and the run that shows what it can do."""

from pathlib import Path

DEMO_NAME = "demo"
"""What `--model` calls the shipped model."""
DEMO_MODEL = Path(__file__).parent / "model"
"""Folder of its weights, tokenizer and processor settings."""
