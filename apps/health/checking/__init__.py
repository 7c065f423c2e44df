"""When and how checks run, and their results."""
