"""Output for people and scripts: text, JSON, colours, progress."""
