"""What a label is: a class of several, any of many labels, or a number."""
