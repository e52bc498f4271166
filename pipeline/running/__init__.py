"""What a run of any stage needs: options, launchers, signals, progress, files, numbers as text."""
