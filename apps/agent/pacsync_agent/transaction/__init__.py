"""The one pacman transaction: rehearsed, applied, settled, verified."""
