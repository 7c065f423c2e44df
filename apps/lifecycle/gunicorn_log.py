"""gunicorn's log through the project's own formatter: structured access lines, none for probes."""

import logging
import sys
from datetime import timedelta
from typing import Any

from gunicorn.glogging import Logger

PROBES = ("/health", "/metrics")


class LifecycleLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """One line per request, without the query string: it may hold what a log must not."""

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        if isinstance(sys.exc_info()[1], BlockingIOError):  # REQUEST_READ_TIMEOUT, see hooks.py
            self.error_log.info("a client stalled in the middle of a request: connection closed")
        else:
            super().exception(msg, *args, **kwargs)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        path = environ.get("PATH_INFO") or req.path
        if path.startswith(PROBES) or not self.access_log.isEnabledFor(logging.INFO):
            return
        status = str(resp.status).split(" ", 1)[0]
        milliseconds = round(request_time.total_seconds() * 1000, 1)
        method = environ.get("REQUEST_METHOD", "-")
        remote = environ.get("REMOTE_ADDR", "")
        self.access_log.info(
            "%s %s %s %s %s ms",
            remote or "-",
            method,
            path,
            status,
            milliseconds,
            extra={
                "method": method,
                "path": path,
                "status": int(status) if status.isdigit() else 0,
                "duration_ms": milliseconds,
                "bytes": getattr(resp, "sent", 0),
                "remote": remote,
            },
        )
