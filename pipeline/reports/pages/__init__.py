"""HTML pages: one look, one way to escape text, small pictures. Pages load nothing."""
