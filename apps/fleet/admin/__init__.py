"""The fleet in the admin. What is changed here goes through the managers, as everywhere: same rules, same audit."""

from . import access, endpoints, history, packages, pools

__all__ = ["access", "endpoints", "history", "packages", "pools"]
