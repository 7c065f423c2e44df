"""One answer of a health path, before it becomes WSGI's or Django's. It must not know what is answered."""

from typing import NamedTuple

JSON = "application/json"
RETRY_AFTER = "2"  # seconds; the next check may find that all is well


class Response(NamedTuple):
    """`status` is the whole line, as in `200 OK`; `headers` are those that only this answer has."""

    status: str
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()

    def more_headers(self) -> list[tuple[str, str]]:
        """All headers except the type and the length of the body."""
        again = [("Retry-After", RETRY_AFTER)] if self.status.startswith("503") else []
        return [("Cache-Control", "no-store"), *again, *self.headers]

    def wsgi_headers(self) -> list[tuple[str, str]]:
        body = [("Content-Type", self.content_type), ("Content-Length", str(len(self.body)))]
        return [*body, *self.more_headers()]
