"""Which rows a run reads: added to a store, as a source has them now, and texts of classes."""
