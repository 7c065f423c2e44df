"""Addresses of mirrors as others may see them. It must not know who reported them or who asks."""

from urllib.parse import urlsplit, urlunsplit


def public(url: str) -> str:
    """`url` without what may be a secret: user and password, query, fragment. Empty when it can't be read."""
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets without an IPv6 address between them
        return ""
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
