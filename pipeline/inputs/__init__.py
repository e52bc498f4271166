"""What comes in: rows of both splits, splits that are drawn, computed features, user plugins."""
