"""Kinds of media, one a file: names, marks, what a file is, and how it is decoded."""
