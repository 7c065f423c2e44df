"""The logging configuration: JSON lines on stdout, or readable text. It knows no app and reads no environment."""

import logging
from typing import Any


class NoTraceback(logging.Filter):
    """Django logs what a client has made up, such as a `Host`, with a traceback. One line tells as much."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.security."):
            record.exc_info = None
        return True


def configuration(*, structured: bool, level: str, access_log: bool = True) -> dict[str, Any]:
    """A `logging.config.dictConfig` dictionary: one handler on stdout, JSON lines if `structured`, at `level`.

    `access_log`: also one line per request.
    """
    formatters: dict[str, Any] = {
        "text": {"format": "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s]: %(message)s"},
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s",
            "rename_fields": {"asctime": "timestamp", "levelname": "level", "name": "logger"},
        },
    }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": formatters,
        "filters": {
            "request_id": {"()": "apps.api.request_id.RequestIdFilter"},
            "no_traceback": {"()": "pacsync.logging.NoTraceback"},
        },
        "handlers": {
            "stdout": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stdout",
                "formatter": "json" if structured else "text",
                "filters": ["request_id", "no_traceback"],
            }
        },
        "root": {"handlers": ["stdout"], "level": level},
        "loggers": {
            # gunicorn gives its own loggers handlers unless they are named here.
            "gunicorn.error": {"handlers": [], "level": level, "propagate": True},
            "gunicorn.access": {"handlers": [], "level": level if access_log else "CRITICAL", "propagate": True},
            # One line per checkout and per attempt to connect; our dbpool says when that begins to fail.
            "psycopg.pool": {"level": "ERROR"},
        },
    }
