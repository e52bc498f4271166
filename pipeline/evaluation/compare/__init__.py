"""Results of several evaluations, compared on the same examples."""
