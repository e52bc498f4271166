"""A page of images to label next, with their pictures."""
