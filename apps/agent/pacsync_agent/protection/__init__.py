"""Packages that this machine can't do without, and whether a plan may remove them."""
