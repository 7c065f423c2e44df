"""The addresses of a package file: on the machine's own mirrors first, then those that the server names.

It must not open them. Messages and reports show an address without user, password and query.
"""

from __future__ import annotations

import base64
import netrc
import urllib.parse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..terminal.printable import printable

SUFFIXES = tuple(f".pkg.tar{end}" for end in (".zst", ".xz", "", ".gz", ".bz2", ".lz4", ".lzo", ".lrz", ".lz", ".Z"))
# Suffixes of a guessed file name, where no database has it: asking a mirror for ten names would be rude.
GUESSED = SUFFIXES[:2]
MIRRORS = 10  # mirrors of one repository that are asked for a file that one of the machine's databases has
LIKELY = 2  # and for any other file: a mirror might have it, but when one doesn't, the others hardly do
OTHERS = 20  # addresses of the server that are asked for one file


@dataclass(frozen=True)
class Address:
    """One address of one file. `own`: built from the machine's own pacman.conf, credentials included."""

    url: str
    own: bool = False

    def __str__(self) -> str:
        return shown(self.url)

    @property
    def signature(self) -> Address:
        """Where pacman would look for its signature."""
        return Address(f"{self.url}.sig", self.own)

    @property
    def host(self) -> str:
        """`scheme://host:port`, without the user."""
        parts = urllib.parse.urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2].lower()}"

    @property
    def name(self) -> str:
        """The name of the host alone, without its port; empty if it has none."""
        return urllib.parse.urlsplit(self.url).hostname or ""


def shown(url: str) -> str:
    """The address without user, password, query and fragment; a text that can't be parsed is not shown at all."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "an address that makes no sense"
    plain = urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    return printable(plain, 300)


def reported(mirror: str) -> str:
    """A mirror of pacman.conf without credentials, for the server. Empty: the server may not know it."""
    try:
        parts = urllib.parse.urlsplit(mirror)
    except ValueError:
        return ""
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def stems(name: str, version: str, arch: str) -> tuple[str, ...]:
    """The file name without its suffix; hosts that allow no `:` in names (GitHub Releases) have `.` there."""
    stem = f"{name}-{version}-{arch}"
    return tuple(dict.fromkeys((stem, stem.replace(":", "."))))


def every_name(name: str, version: str, arch: str) -> tuple[str, ...]:
    """Every file name that the package may have where no database of the machine says another."""
    return tuple(f"{stem}{suffix}" for suffix in SUFFIXES for stem in stems(name, version, arch))


def names_to_ask(name: str, version: str, arch: str, hint: str) -> tuple[str, ...]:
    """The likeliest of `every_name`; the hint alone, if it is one of them."""
    if hint in every_name(name, version, arch):
        return (hint,)
    return tuple(f"{stem}{suffix}" for suffix in GUESSED for stem in stems(name, version, arch))


def kept_as(name: str, version: str, arch: str, asked: Address) -> str:
    """The file name in the cache: name-version-arch with the suffix of the address."""
    suffix = max(
        (one for one in SUFFIXES if urllib.parse.unquote(asked.url).endswith(one)), key=len, default=SUFFIXES[0]
    )
    return f"{name}-{version}-{arch}{suffix}"


def own(mirrors: Sequence[str], filenames: Sequence[str], *, known: bool) -> list[Address]:
    """The addresses on these mirrors of pacman.conf, built as pacman does. `known`: a database has the file."""
    asked = mirrors[: MIRRORS if known else LIKELY]
    quoted = [urllib.parse.quote(filename, safe=":+@~,!$&'()*;=") for filename in filenames]
    return [Address(f"{mirror.rstrip('/')}/{name}", own=True) for name in quoted for mirror in asked]


def of_server(urls: Iterable[str], allowed: Iterable[str]) -> tuple[list[Address], list[str]]:
    """The server's addresses that may be asked, and what is wrong with each of the others."""
    allowed = set(allowed)
    found: list[Address] = []
    refused: list[str] = []
    for url in dict.fromkeys(urls):
        problem = _problem(url, allowed)
        if problem:
            refused.append(f"{shown(url)}: {problem}")
        elif len(found) < OTHERS:
            found.append(Address(url))
    return found, refused


def _problem(url: str, allowed: set[str]) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it makes no sense"
    if parts.scheme == "file":
        return "files count only on mirrors of this machine's own pacman.conf"
    if parts.scheme not in {"http", "https"}:
        return f"{parts.scheme or 'no'} addresses are not supported"
    if not host or not all("!" <= letter <= "~" for letter in url):
        return "it makes no sense"
    if "@" in parts.netloc:
        return "it has somebody else's credentials"
    if urllib.parse.unquote(parts.path.rpartition("/")[2]) not in allowed:
        return "it doesn't end in the package's file name"
    return ""


def split_credentials(url: str) -> tuple[str, str]:
    """(the address without user and password, the value of its Authorization header or nothing)."""
    parts = urllib.parse.urlsplit(url)
    if parts.username is None:
        return url, ""
    bare = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, basic(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))


def basic(user: str, password: str) -> str:
    """The value of an Authorization header."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def credentials_of(url: str) -> tuple[str, str]:
    """`split_credentials` of an own mirror; without credentials, those in ~/.netrc, as pacman's curl does."""
    bare, authorization = split_credentials(url)
    host = urllib.parse.urlsplit(bare).hostname
    if authorization or not host:
        return bare, authorization
    try:
        known = netrc.netrc().authenticators(host)
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
        known = None
    return bare, basic(known[0] or "", known[2] or "") if known else ""
