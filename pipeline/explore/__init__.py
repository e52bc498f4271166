"""Ways to look into a store: SQL, and files for other programs."""
