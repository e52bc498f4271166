"""The input files of both splits, read and checked."""
