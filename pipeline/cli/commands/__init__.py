"""One command a file: parse, call a stage, print."""
