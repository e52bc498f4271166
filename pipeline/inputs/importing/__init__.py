"""Features that other programs computed, with their labels, as a store."""
