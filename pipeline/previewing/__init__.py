"""`savs preview`: a page that shows the examples of both splits as a model will meet them."""
