"""Whose bytes this machine installs (docs/agent.md)."""
