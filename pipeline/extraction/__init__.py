"""Stage 1: the only rooms that import torch, transformers and accelerate."""
