"""A saved classifier and new media: predictions, estimators, bundles to share."""
