"""Stage 1: a model's heads at the last token of each example, written to a store."""

import os

# Before torch is loaded: idle threads shall sleep. By default they spin, and take the cores from
# the processes that prepare the next batches.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
