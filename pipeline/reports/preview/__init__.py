"""A page that shows the examples of both splits as the model reads them."""
