"""Reading request bodies within bounds: JSON for routes with a schema, gzip texts for uploads.

It must not know what a body means. Nothing here holds more than its limit in memory, whatever a client sends.
"""

import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from apps.api.requests import strict_json
from apps.api.requests.problems import RequestRefused

MIB = 1 << 20
# A body without a token or session is small: an enrolment has 300 bytes, a login form 200.
ANONYMOUS_LIMIT = 16 * 1024
# A line of a state has 50 bytes on average, one of a repository 170 (tests/agent/test_canonical_texts.py).
STATE_LIMIT = 210 * settings.STATE_MAX_PACKAGES
REPOSITORY_LIMIT = 512 * settings.REPOSITORY_MAX_PACKAGES
CHUNK = 64 * 1024
MAX_LENGTH_DIGITS = 16
DRAIN_LIMIT = 64 * MIB
DRAIN_SECONDS = 10.0
GZIP_WBITS = 31  # zlib: expect a gzip header and trailer, with the largest window


class StrictParser(Parser):
    """JSON as `strict_json` reads it; a repeated query parameter is refused."""

    def parse_body(self, request: HttpRequest) -> Any:
        media_type = request.content_type or ""
        if media_type != "application/json":
            raise RequestRefused("unsupported_media_type", "This route reads Content-Type: application/json.")
        if _encoding(request) != "identity":
            raise RequestRefused("unsupported_media_type", "This route reads bodies without a Content-Encoding.")
        return strict_json.loads(request.body)

    def parse_querydict(self, data: MultiValueDict[str, Any], list_fields: list[str], request: HttpRequest) -> Any:
        return {key: data.getlist(key) if key in list_fields else data[key] for key in data}


def _encoding(request: HttpRequest) -> str:
    return request.headers.get("Content-Encoding", "identity").strip().lower()


def read_text(request: HttpRequest, *, limit: int, setting: str) -> bytes:
    """The uploaded text, decompressed: at most `limit` bytes, which the setting `setting` determines.

    A decompression bomb is read no further than the limit. Only one gzip member is read: HTTP clients send one, and
    many empty ones would be endless work. Raises RequestRefused: too_large, unsupported_media_type, invalid_encoding.
    """
    if content_length(request) > limit:
        raise _too_large(limit, setting)
    encoding = _encoding(request)
    if encoding == "identity":
        return b"".join(_chunks(request))
    if encoding not in ("gzip", "x-gzip"):
        raise RequestRefused("unsupported_media_type", "This route reads Content-Encoding: gzip or identity.")
    return _gunzip(_chunks(request), limit=limit, setting=setting)


def _chunks(request: HttpRequest) -> Iterator[bytes]:
    """The body in pieces. It doesn't use `request.body`, which has the limit of JSON bodies."""
    while chunk := request.read(CHUNK):
        yield chunk


def check_anonymous(request: HttpRequest) -> None:
    """Refuse a body too large for a sender without a token or session, unread. Raises RequestRefused."""
    if content_length(request) > ANONYMOUS_LIMIT:
        raise RequestRefused("too_large", f"Without a token or a session a body has at most {ANONYMOUS_LIMIT} bytes.")


def content_length(request: HttpRequest) -> int:
    """The body's length according to the request; 0 if it gives none, or something that isn't a number."""
    text = request.META.get("CONTENT_LENGTH") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < MAX_LENGTH_DIGITS else 0


def drain(request: HttpRequest) -> None:
    """Read what is left of a refused body, within bounds: if the server closes while the client still sends, the
    connection is reset, and the client never sees why it was refused.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    size = 0
    with suppress(OSError):  # the client went away; nothing is left to read
        while size < DRAIN_LIMIT and time.monotonic() < deadline and (chunk := request.read(CHUNK)):
            size += len(chunk)


def _too_large(limit: int, setting: str) -> RequestRefused:
    return RequestRefused("too_large", f"The text is over {limit:,} bytes, the limit that follows from {setting}.")


def _gunzip(chunks: Iterator[bytes], *, limit: int, setting: str) -> bytes:
    decompressor = zlib.decompressobj(GZIP_WBITS)
    parts: list[bytes] = []
    size = 0
    try:
        for chunk in chunks:
            while chunk and not decompressor.eof:
                part = decompressor.decompress(chunk, limit + 1 - size)
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise _too_large(limit, setting)
                chunk = decompressor.unconsumed_tail
            if decompressor.unused_data or (chunk and decompressor.eof):
                raise RequestRefused("invalid_encoding", "There is data after the end of the gzip member.")
    except zlib.error as error:
        raise RequestRefused("invalid_encoding") from error
    if not decompressor.eof:
        raise RequestRefused("invalid_encoding", "The gzip data ends too early.")
    return b"".join(parts)
