"""All methods on the same tasks and draws, for the table of docs/results/accuracy.md."""
