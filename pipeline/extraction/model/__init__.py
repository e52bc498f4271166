"""The loaded checkpoint: weights, processor, hook points and what is read there."""
