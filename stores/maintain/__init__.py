"""Verify, repair, copy and merge stores."""
