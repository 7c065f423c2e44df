"""The machine's own health commands: which may run, running them within limits, and what was found last."""
