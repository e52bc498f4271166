"""Readouts, heads, shots, depths, prompts and stores, measured over the same few-shot draws."""
