"""A check-in: what this machine reports to the server."""
