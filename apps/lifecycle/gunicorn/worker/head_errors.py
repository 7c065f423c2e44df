"""Answers a head that gunicorn's parser refuses: problem details with a code, and one line in the log.

It must not know how a head is read.

Reason: gunicorn answers with an HTML page without a code, and logs a refusal twice.
Remove when gunicorn has a hook for what it answers to such a head.
"""

import contextlib
from typing import Any

from gunicorn.http import errors

from apps.lifecycle.gunicorn.worker.connections import Connections
from apps.lifecycle.gunicorn.worker.refusals import refusal

LONGEST = 200  # characters of a client's own in a line of the log
LINE_TOO_LONG = (414, "uri_too_long", "The request line is longer than REQUEST_LINE_LIMIT allows.")
FIELDS_TOO_LARGE = (
    431,
    "headers_too_large",
    "A header field is larger than REQUEST_HEADER_LIMIT, there are too many, or the head is larger than 64 KiB.",
)
NOT_HTTP = (400, "malformed_request", "The head of the request is not valid HTTP/1.1.")
ANSWERS: dict[type[Exception], tuple[int, str, str]] = {
    errors.LimitRequestLine: LINE_TOO_LONG,
    errors.LimitRequestHeaders: FIELDS_TOO_LARGE,
    errors.UnsupportedTransferCoding: (501, "unsupported_transfer_coding", "Only chunked is supported."),
    errors.ExpectationFailed: (417, "expectation_failed", "Only 100-continue is supported."),
    errors.InvalidRequestLine: NOT_HTTP,
    errors.InvalidRequestMethod: NOT_HTTP,
    errors.InvalidHTTPVersion: NOT_HTTP,
    errors.InvalidHeader: NOT_HTTP,
    errors.InvalidHeaderName: NOT_HTTP,
    errors.InvalidSchemeHeaders: NOT_HTTP,
    errors.ObsoleteFolding: NOT_HTTP,
    errors.InvalidChunkSize: NOT_HTTP,
    errors.ChunkMissingTerminator: NOT_HTTP,
    errors.InvalidChunkExtension: NOT_HTTP,
}


class HeadErrors(Connections):
    """Replaces gunicorn's answers to the errors in ANSWERS; the others are faults of ours, and stay gunicorn's."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """gunicorn calls it with the parser's error, in the thread that handles the connection `client`."""
        found = ANSWERS.get(type(exc))
        if found is None:
            super().handle_error(req, client, addr, exc)
            return
        status, code, detail = found
        extra = {"code": code, "status": status, "remote": addr[0] if addr else ""}
        self.log.info("request refused: %s: %s", code, str(exc)[:LONGEST], extra=extra)
        with contextlib.suppress(OSError):  # the client is gone
            client.sendall(refusal(status, code, detail))
