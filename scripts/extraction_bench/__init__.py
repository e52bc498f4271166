"""What `bench_extract.py` runs: photos, an emulated accelerator, the parts by themselves."""
