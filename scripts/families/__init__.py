"""How small random models of every architecture are made, and what is tried on them."""
