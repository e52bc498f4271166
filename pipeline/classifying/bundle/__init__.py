"""A classifier as a folder that people share: its files, a card, a program; and the hub."""
