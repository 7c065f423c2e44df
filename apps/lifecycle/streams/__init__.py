"""Standard output and error: when nothing more can be written, and when nobody reads."""
