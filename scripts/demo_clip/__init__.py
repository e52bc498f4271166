"""How the shipped dual encoder is made."""
