"""Tracked work, loops, chores and cleanup tasks of one process."""
