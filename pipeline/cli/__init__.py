"""The `savs` command: parse, call one stage, print."""
