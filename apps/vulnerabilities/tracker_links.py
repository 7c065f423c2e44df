"""Addresses of the Arch security tracker's pages, whatever the list was read from. It must not read anything."""

TRACKER = "https://security.archlinux.org"


def address(name: str) -> str:
    """The page of an advisory (AVG-…), a CVE or an announcement (ASA-…)."""
    return f"{TRACKER}/{name}"
