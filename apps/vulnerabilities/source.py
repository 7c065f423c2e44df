"""Reads the bytes of a list from an address or from a file. It must not know what a list says."""

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urljoin, urlsplit

from django.conf import settings

from apps.fleet import mirrors
from apps.lifecycle.ages import duration

from . import bounded_http
from .bounded_http import Answer, Watch
from .exceptions import ListRefused

MAX_BYTES = 32 << 20
SECONDS = 20.0
"""For the whole list, redirects included. Shutdown waits for a fetch, so it is below SHUTDOWN_TIMEOUT's default."""
REDIRECTS = 5
_REDIRECTING = {301, 302, 303, 307, 308}


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What a source gave. `data` is None if it said that nothing has changed; `written`: when a file was written."""

    data: bytes | None
    etag: str = ""
    last_modified: str = ""
    written: datetime | None = None


def shown(source: str) -> str:
    """The source without what may be a secret, for pages and messages."""
    path = _path(source)
    return (path if path is not None else mirrors.public(source))[:1000]


def read(source: str, *, etag: str = "", last_modified: str = "") -> Fetched:
    """The list behind an address (`https://…`, `http://…`) or in a file (`/path`, `file:/path`). Raises ListRefused.

    `etag` and `last_modified` are those of the list that is known, if it came from the same address.
    """
    path = _path(source)
    return _read_address(source, etag, last_modified) if path is None else _read_file(path)


def _path(source: str) -> str | None:
    """The path that a source names, None for an address."""
    if source.startswith("/"):
        return source
    return unquote(urlsplit(source).path) if source.lower().startswith("file:") else None


def _read_file(path: str) -> Fetched:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise ListRefused("list_unreachable", f"{path} is not a regular file.")
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ListRefused("list_unreachable", f"{path} can't be read: {error.strerror or error}.") from None
    except ValueError:
        raise ListRefused("list_unreachable", "The path has a NUL.") from None
    if len(data) > MAX_BYTES:
        raise _too_large(path)
    return Fetched(data=data, written=datetime.fromtimestamp(found.st_mtime, UTC))


def _without_waiting(path: str, flags: int) -> int:
    """A FIFO would wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def _too_large(source: str) -> ListRefused:
    return ListRefused("list_too_large", f"{shown(source)} has more than {MAX_BYTES >> 20} MiB.")


def _read_address(url: str, etag: str, last_modified: str) -> Fetched:
    """Follows a few redirects within the scheme of the address."""
    headers = {"User-Agent": f"PacSync/{settings.VERSION}", "Accept": "application/json"}
    if etag:
        headers["If-None-Match"] = etag
    elif last_modified:
        headers["If-Modified-Since"] = last_modified
    watch = Watch(SECONDS)
    with watch.running():
        for _ in range(REDIRECTS + 1):
            answer = _ask(url, headers, watch)
            if answer.status == 200:
                return Fetched(
                    data=answer.body,
                    etag=_kept(answer, "ETag", 1000),
                    last_modified=_kept(answer, "Last-Modified", 100),
                )
            if answer.status == 304 and (etag or last_modified):
                return Fetched(data=None)
            url = _followed(url, answer)
    raise ListRefused("list_redirected", f"{shown(url)} redirects too often.")


def _ask(url: str, headers: dict[str, str], watch: Watch) -> Answer:
    try:
        return bounded_http.get(url, headers, watch, MAX_BYTES)
    except bounded_http.TooLarge:
        raise _too_large(url) from None
    except bounded_http.TimedOut:
        text = f"{shown(url)} didn't send the whole list within {duration(SECONDS)}."
        raise ListRefused("list_timed_out", text) from None
    except bounded_http.Failed as error:
        raise ListRefused("list_unreachable", f"{shown(url)} can't be read: {error}.") from None


def _followed(url: str, answer: Answer) -> str:
    """The address that the answer redirects to. Raises ListRefused."""
    location = answer.headers.get("Location")
    if answer.status not in _REDIRECTING or not location:
        raise ListRefused("list_refused", f"{shown(url)} answered {answer.status}.")
    try:
        target = urljoin(url, location)
        scheme = urlsplit(target).scheme
    except ValueError:
        raise ListRefused("list_redirected", f"{shown(url)} redirects to what is no address.") from None
    if scheme != urlsplit(url).scheme:
        text = f"{shown(url)} redirects to another scheme, {shown(target)}: set that address instead."
        raise ListRefused("list_redirected", text)
    return target


def _kept(answer: Answer, header: str, longest: int) -> str:
    """A header that is sent back with the next request; none if it is too long for our table, or can't be sent."""
    value = str(answer.headers.get(header, ""))
    return value if len(value) <= longest and value.isascii() and value.isprintable() else ""
