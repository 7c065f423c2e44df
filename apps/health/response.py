"""One answer of a health path, before it is WSGI's or Django's. It must not know what is answered."""

from typing import NamedTuple

JSON = "application/json"


class Response(NamedTuple):
    """`status` is the whole line, as in `200 OK`; `headers` are those beside the type, the length and no-store."""

    status: str
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def wsgi_headers(self) -> list[tuple[str, str]]:
        return [
            ("Content-Type", self.content_type),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            *self.headers,
        ]
