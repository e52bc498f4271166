"""What every run needs: signals, progress, files that appear whole, numbers as text."""
