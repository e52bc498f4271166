"""What `savs doctor` says of an installation and its machine."""
