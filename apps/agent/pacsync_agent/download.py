"""Fetches one package file: resumed where it broke off, put in place only when it is whole and right.

It must not know which packages are wanted, nor the server: no token ever comes here.
"""

from __future__ import annotations

import http.client
import os
import shutil
import ssl
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from . import __version__, files
from .package_file import PackageFile, Wanted, WrongPackage, read, verify

CHUNK = 1 << 18
TIMEOUT = 20  # seconds without a byte
TRIES = 10
NETWORK_ERRORS = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


class Stopped(Exception):
    """The download was asked to stop."""


class NotThere(Exception):
    """None of the addresses has the file; the text says what each of them said."""


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Redirects are fine for packages, but not from https to anything else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and urllib.parse.urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"it redirects from https to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_opener = urllib.request.build_opener(_NoDowngrade())


def partial_path(directory: Path, filename: str) -> Path:
    return directory / f".{filename}.pacsync-part"


def fetch(wanted: Wanted, directory: Path, *, stop: threading.Event, on_bytes: Callable[[int], None]) -> PackageFile:
    """Download the package into `directory` and verify it. `on_bytes` gets the growth (negative: begun anew).

    Raises NotThere, Stopped, OSError for trouble on this machine's disk.
    """
    part = partial_path(directory, wanted.filename)
    reasons = []
    for url in wanted.urls:
        reason = _fetch_from(url, wanted, part, stop=stop, on_bytes=on_bytes)
        if not reason:
            place(part, directory / wanted.filename)
            return read(directory / wanted.filename)
        reasons.append(f"{url}: {reason}")
    raise NotThere("; ".join(reasons) or "no address is known for it")


def _fetch_from(url: str, wanted: Wanted, part: Path, *, stop: threading.Event, on_bytes: Callable[[int], None]) -> str:
    """Fill `part` from one address; why it didn't work, or nothing. Goes on as long as each try brings it further."""
    reason = ""
    for _ in range(TRIES):
        before = part.stat().st_size if part.exists() else 0
        try:
            _download(url, part, stop=stop, on_bytes=on_bytes, resume=wanted.sha256 is not None)
            verify(part, wanted)
            return ""
        except WrongPackage as error:
            on_bytes(-part.stat().st_size)
            part.unlink()
            reason = str(error)
            if not before:  # it began with nothing, so this address has another file
                break
        except NETWORK_ERRORS as error:
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
            grown = part.stat().st_size if part.exists() else 0
            on_bytes(-grown)
            if grown <= before:
                break
    return reason


def fetch_small(url: str, target: Path, *, stop: threading.Event) -> bool:
    """Download a small file (a signature) without resuming; False when it isn't there."""
    part = partial_path(target.parent, target.name)
    try:
        _download(url, part, stop=stop, on_bytes=lambda count: None, resume=False)
    except NETWORK_ERRORS:
        part.unlink(missing_ok=True)
        return False
    place(part, target)
    return True


def place(part: Path, target: Path) -> None:
    """Flush and rename: `target` is either absent, the old file, or the whole new one."""
    with open(part, "rb") as file:
        os.fsync(file.fileno())
    part.chmod(0o644)
    os.replace(part, target)
    files.sync_directory(target.parent)


def _request(url: str, offset: int) -> Any:
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in {"http", "https", "file"}:
        raise urllib.error.URLError(f"{scheme or 'no'} addresses are not supported")
    quoted = urllib.parse.quote(url, safe="/:?=&%@+~,;!$'()*[]")
    request = urllib.request.Request(quoted, headers={"User-Agent": f"pacsync-agent/{__version__}"})  # noqa: S310
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    return _opener.open(request, timeout=TIMEOUT)


def _open(url: str, offset: int) -> tuple[Any, int]:
    """The answer, and from which byte on it has the file."""
    try:
        answer = _request(url, offset)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:  # there is nothing after `offset`: the partial file is whole, or of something else
            raise urllib.error.URLError(f"{error.code} {error.reason}") from None
        answer = _request(url, 0)
    if url.startswith("file:") and offset:
        answer.seek(offset)
        return answer, offset
    return answer, offset if getattr(answer, "status", None) == 206 else 0


def _download(url: str, part: Path, *, stop: threading.Event, on_bytes: Callable[[int], None], resume: bool) -> None:
    have = part.stat().st_size if resume and part.exists() else 0
    answer, start = _open(url, have)
    with answer, open(part, "r+b" if start else "wb") as file:
        on_bytes(start)
        file.seek(start)
        expected: Optional[str] = answer.headers.get("Content-Length")
        received = 0
        while block := answer.read(CHUNK):
            if stop.is_set():
                raise Stopped
            file.write(block)
            received += len(block)
            on_bytes(len(block))
        if expected and expected.isdigit() and not url.startswith("file:") and received < int(expected):
            raise http.client.IncompleteRead(b"", int(expected) - received)


def free_bytes(path: Path) -> int:
    """Free bytes on the file system of `path`, or of the nearest directory above it that exists."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
