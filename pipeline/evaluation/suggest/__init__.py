"""Which images to label next: those of which a classifier is least sure, spread out."""
