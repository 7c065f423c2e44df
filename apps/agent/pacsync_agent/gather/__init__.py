"""Gathers the package files of a plan: from caches, else from mirrors."""
