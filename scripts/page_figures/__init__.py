"""Figures in pages: where they stand, and how a fresh run is compared with them."""
