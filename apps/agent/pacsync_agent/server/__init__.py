"""The server: requests, the check of its answers, and what this machine keeps of them."""
