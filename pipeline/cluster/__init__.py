"""Many processes for one store."""
