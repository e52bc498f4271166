"""Per-head computations: centroids, cosines, scores."""
