"""Format 1 of the feature store: names, plan, manifest."""
