"""The loaded checkpoint: weights, processor, prompts, hooks on its attention heads."""
