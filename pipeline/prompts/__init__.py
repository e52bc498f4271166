"""Text, media and marks to a model's inputs; the lowest room that imports torch."""

import os

# Before torch is loaded: idle threads shall sleep. By default they spin, and take the cores from
# the processes that prepare the next batches.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
