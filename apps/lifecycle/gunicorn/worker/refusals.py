"""The answers that the worker's main loop itself gives when it refuses a request: problem details, as bytes.

It must not know when a request is refused.

Reason: no WSGI layer or thread sees such a request, and gunicorn's own error answers are HTML without a code.
Remove when the main loop refuses nothing any more, so with whole_requests.py, transfers.py and slow_clients.py.
"""

import json
from http import HTTPStatus

CHALLENGE = 'WWW-Authenticate: Bearer realm="pacsync"'
RETRY_AFTER = {408: None, 413: None, 429: 5, 503: 1}  # seconds; by status


def refusal(status: int, code: str, detail: str) -> bytes:
    """A whole HTTP answer (RFC 9457) after which the connection is closed."""
    title = HTTPStatus(status).phrase
    body = json.dumps(
        {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    ).encode()
    headers = [
        f"HTTP/1.1 {status} {title}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if RETRY_AFTER.get(status):
        headers.append(f"Retry-After: {RETRY_AFTER[status]}")
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append(CHALLENGE)
    return "\r\n".join(headers).encode() + b"\r\n\r\n" + body
