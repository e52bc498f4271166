"""How the shipped model is made: architecture, curriculum, two stages of training, model card."""
