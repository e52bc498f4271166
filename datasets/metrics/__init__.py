"""From predictions to one score a unit."""
