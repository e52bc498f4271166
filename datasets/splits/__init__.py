"""Training and test split: shots, clusters, leaks."""
