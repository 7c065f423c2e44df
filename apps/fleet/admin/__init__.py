"""The fleet in the admin. What is changed here goes through the managers, as everywhere: same rules, same audit."""

from . import accounts, credentials, endpoints, history, packages, pools

__all__ = ["accounts", "credentials", "endpoints", "history", "packages", "pools"]
