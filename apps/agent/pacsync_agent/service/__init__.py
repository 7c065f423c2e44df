"""The systemd service that keeps the agent running."""
