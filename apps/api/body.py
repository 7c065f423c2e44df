"""Reading request bodies within bounds: strict JSON for routes with a schema, gzip texts for uploads.

It must not know what a body means. Nothing here holds more than its limit in memory, whatever a client sends.
"""

import json
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from django.http import HttpRequest
from django.utils.datastructures import MultiValueDict
from ninja.parser import Parser

from apps.api.problems import Refused

MIB = 1 << 20
STATE_LIMIT = 4 * MIB
REPOSITORY_LIMIT = 64 * MIB
CHUNK = 64 * 1024
DRAIN_LIMIT = 64 * MIB
DRAIN_SECONDS = 10.0
GZIP_WBITS = 31  # zlib: expect a gzip header and trailer, with the largest window


class StrictParser(Parser):
    """JSON as RFC 8259 and I-JSON have it: UTF-8, no NaN, no key twice; a repeated query parameter is refused."""

    def parse_body(self, request: HttpRequest) -> Any:
        media_type = request.content_type or ""
        if media_type != "application/json":
            raise Refused("unsupported_media_type", "This route reads Content-Type: application/json.")
        try:
            return json.loads(
                request.body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_distinct_keys
            )
        except (ValueError, RecursionError) as error:
            raise Refused("invalid_json") from error

    def parse_querydict(self, data: MultiValueDict[str, Any], list_fields: list[str], request: HttpRequest) -> Any:
        return {key: data.getlist(key) if key in list_fields else data[key] for key in data}


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key twice")
    return result


def read_text(request: HttpRequest, *, limit: int) -> bytes:
    """The uploaded text, decompressed: at most `limit` bytes.

    Raises Refused: length_required, too_large, unsupported_media_type, invalid_encoding. A bomb is read no further than
    the limit. One gzip member only: HTTP clients send one, and many empty ones would be work without end.
    """
    if int(request.META.get("CONTENT_LENGTH") or 0) > limit:
        raise Refused("too_large")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return b"".join(_chunks(request))
    if encoding not in ("gzip", "x-gzip"):
        raise Refused("unsupported_media_type", "This route reads Content-Encoding: gzip or identity.")
    return _gunzip(_chunks(request), limit=limit)


def _chunks(request: HttpRequest) -> Iterator[bytes]:
    """The body in pieces. Not `request.body`, which has the limit of JSON bodies."""
    while chunk := request.read(CHUNK):
        yield chunk


def drain(request: HttpRequest) -> None:
    """Read what is left of a refused body, within bounds: a server that closes on a client that is still sending resets
    the connection, and the client never sees why it was refused.
    """
    deadline = time.monotonic() + DRAIN_SECONDS
    size = 0
    with suppress(OSError):  # the client went away; nothing is left to read
        while size < DRAIN_LIMIT and time.monotonic() < deadline and (chunk := request.read(CHUNK)):
            size += len(chunk)


def _gunzip(chunks: Iterator[bytes], *, limit: int) -> bytes:
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
                    raise Refused("too_large")
                chunk = decompressor.unconsumed_tail
            if decompressor.unused_data or (chunk and decompressor.eof):
                raise Refused("invalid_encoding", "There is data after the end of the gzip member.")
    except zlib.error as error:
        raise Refused("invalid_encoding") from error
    if not decompressor.eof:
        raise Refused("invalid_encoding", "The gzip data ends too early.")
    return b"".join(parts)
