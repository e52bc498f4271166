"""The stages, one room each; `savs` shows their public names."""
