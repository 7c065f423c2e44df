"""The logging configuration: JSON lines on stdout, or readable text. It knows no app and reads no environment."""

import logging
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from apps.lifecycle.printable import several_lines

WITHOUT_REQUEST = "%(asctime)s %(levelname)s %(name)s %(message)s"
FIELDS = f"{WITHOUT_REQUEST} %(request_id)s"
RENAMED = {"asctime": "timestamp", "levelname": "level", "name": "logger"}


class JsonLines(JsonFormatter):
    """One JSON object per line, with the time in UTC as RFC 3339 has it: `2026-01-15T10:30:00.123Z`."""

    def __init__(self, fields: str = FIELDS) -> None:
        super().__init__(fields, rename_fields=RENAMED)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLines(logging.Formatter):
    """Text for people. Only the first line of a record begins at the margin, and nothing in it controls a terminal.

    So a text from elsewhere can't look like another record.
    """

    def format(self, record: logging.LogRecord) -> str:
        return several_lines(super().format(record)).replace("\n", "\n    ")


def configuration(*, structured: bool, level: str, access_log: bool = True) -> dict[str, Any]:
    """A `logging.config.dictConfig` dictionary: one handler on stdout, JSON lines if `structured`, at `level`.

    `access_log`: also one line per request.
    """
    formatters: dict[str, Any] = {
        "text": {
            "class": "pacsync.logging.TextLines",
            "format": "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s]: %(message)s",
        },
        "json": {"()": "pacsync.logging.JsonLines"},
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": formatters,
        "filters": {
            "request_id": {"()": "apps.lifecycle.wsgi.request_id.RequestIdFilter"},
            "one_line_for_a_request": {"()": "apps.lifecycle.failure_reason.OneLineForARequest"},
        },
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json" if structured else "text",
                "filters": ["request_id", "one_line_for_a_request"],
            }
        },
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # gunicorn gives its own loggers handlers unless they are named here.
            "gunicorn.error": {"handlers": [], "level": level, "propagate": True},
            "gunicorn.access": {"handlers": [], "level": level if access_log else "CRITICAL", "propagate": True},
            # It drops the body of an answer to HEAD, as it should, and would say so each time.
            "gunicorn.http.wsgi": {"level": "ERROR"},
            # One line per checkout and per attempt to connect; our dbpool says when that begins to fail.
            "psycopg.pool": {"level": "ERROR"},
            # Several lines for each login; the audit has one.
            "axes": {"level": "ERROR"},
        },
    }
