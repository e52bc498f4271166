"""Finetuning by low-rank adapters, for the comparison with SAVs."""
