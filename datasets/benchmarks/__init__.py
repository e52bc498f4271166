"""One benchmark a file, and the catalogue of all."""
