"""Parts of `bench_evaluate.py`: random stores, other ways to compute the same, measuring."""
