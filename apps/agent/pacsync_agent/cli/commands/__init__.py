"""The commands of the agent, one module each."""
