"""pacman's databases: the local one, and those of the repositories."""
