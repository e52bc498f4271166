"""Runs whose prompts share images: what they compute is counted, their stores compared."""

from contextlib import contextmanager

import numpy as np

from savs.pipeline.running.progress import Reporting


def same(one, other, rtol=1e-4, atol=1e-5):
    for split in ("train", "test"):
        assert one.examples(split).equals(other.examples(split))
        np.testing.assert_allclose(one.features(split), other.features(split), rtol, atol)


def after_the_proof(*counts):
    """Return a reporting that clears counts once shards begin, and the lines that it is given."""
    said = []

    @contextmanager
    def progress(total):
        for count in counts:
            count.clear()
        yield lambda rows: None

    return Reporting(said.append, progress, said.append), said
