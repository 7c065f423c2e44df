"""Mirrors: their addresses, hosts and downloads."""
