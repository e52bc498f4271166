"""The page of predictions of new images, least sure first."""
