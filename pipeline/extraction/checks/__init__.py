"""What is checked or measured on a model before a long run."""
