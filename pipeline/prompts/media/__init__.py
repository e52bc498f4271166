"""Media of prompts, one kind a file: what a processor is given of them, and what it refuses."""
