"""pacman itself: its configuration, its lock, running it, and reading its output."""
