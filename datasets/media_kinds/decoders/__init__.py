"""Files of images, videos and sounds, decoded; the packages that it takes are imported here."""
