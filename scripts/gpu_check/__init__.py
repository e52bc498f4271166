"""Parts of `scripts/check_gpu.py`: whether stage 1 is right on a GPU, and how fast it is."""
