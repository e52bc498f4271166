"""Readouts, numbers of heads and shots, measured over the same few-shot draws."""
