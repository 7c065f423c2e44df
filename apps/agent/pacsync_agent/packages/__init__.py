"""Package files as they are: their contents, paths and dependencies."""
