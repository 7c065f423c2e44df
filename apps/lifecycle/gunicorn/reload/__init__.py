"""A reload: it is tried first, then one worker after another is replaced."""
