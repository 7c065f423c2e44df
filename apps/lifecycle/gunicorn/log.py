"""gunicorn's log through the project's own formatter: a structured line for each request that isn't a probe.

It must not know how a line is formatted (pacsync/logging.py).
"""

import logging
import sys
from datetime import timedelta
from typing import Any

from django.conf import settings
from gunicorn.glogging import Logger

from apps.lifecycle import failure_reason
from apps.lifecycle.printable import one_line


class LifecycleLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """One line per request, without the query string: it may contain what a log must not."""

    def exception(self, msg: object, *args: object, **kwargs: Any) -> None:
        if isinstance(sys.exc_info()[1], BlockingIOError):  # REQUEST_READ_TIMEOUT, set in master_hooks.py
            self.error_log.info("a client stalled in the middle of a request: connection closed")
        else:
            super().exception(msg, *args, **kwargs)

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        path = environ.get("PATH_INFO") or req.path
        status = str(resp.status).split(" ", 1)[0]
        unlogged = status != "429" and settings.HEALTH_PATH.fullmatch(path)
        if unlogged or not self.access_log.isEnabledFor(logging.INFO):
            return
        path = one_line(path)
        milliseconds = round(request_time.total_seconds() * 1000, 1)
        method = environ.get("REQUEST_METHOD", "-")
        remote, reason = environ.get("REMOTE_ADDR", ""), failure_reason.of(environ)
        self.access_log.info(
            "%s %s %s %s %s ms%s",
            remote or "-",
            method,
            path,
            status,
            milliseconds,
            f": {reason}" if reason else "",
            extra={
                "method": method,
                "path": path,
                "status": int(status) if status.isdigit() else 0,
                "duration_ms": milliseconds,
                "bytes": getattr(resp, "sent", 0),
                "remote": remote,
                **({"reason": reason} if reason else {}),
            },
        )
