"""New images without labels, put to a saved classifier: predictions, as they are made."""
