"""Parts of `bench_classify.py`."""
