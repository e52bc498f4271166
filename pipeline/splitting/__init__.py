"""One labelled file, split into training and test files."""
