"""`savs app`: a classifier and its store as a page in the browser, on the user's machine."""
