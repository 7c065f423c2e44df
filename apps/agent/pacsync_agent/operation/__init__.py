"""One operation from its claim to its result."""
