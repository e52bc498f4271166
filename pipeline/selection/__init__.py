"""Which heads carry a task, and the classifier that they make, calibrated."""
