"""Texts from elsewhere in the log: none controls a terminal, and none looks like another record."""

import io
import json
import logging
import logging.config

import pytest

from apps.lifecycle.printable import one_line, several_lines
from pacsync import logging as pacsync_logging

EVIL = "a\x1b]0;t\x07\r\n2026-11-28 00:00:00,000 INFO    forged [-]: b\x9b2J\u202e\u2028\x7f"


def test_texts_have_escapes_for_what_is_not_printable() -> None:
    assert one_line("\x1b[2J\n\x85\u202eé€\ud800") == "\\x1b[2J\\n\\x85\\u202eé€\\ud800"
    assert several_lines("a\tb\n\x1b\r\u2028") == "a\tb\n\\x1b\\r\\u2028"
    assert one_line("plain: ü 漢") == several_lines("plain: ü 漢") == "plain: ü 漢"


@pytest.fixture(params=[True, False])
def logged(request: pytest.FixtureRequest) -> str:
    """What the log has of a message and of an exception with hostile texts."""
    configuration = pacsync_logging.configuration(structured=request.param, level="INFO")
    formatter = configuration["formatters"]["json" if request.param else "text"]
    logging_configuration = {"version": 1, "disable_existing_loggers": False, "formatters": {"it": formatter}}
    handler = {"class": "logging.StreamHandler", "formatter": "it"}
    stream = io.StringIO()
    logging_configuration["handlers"] = {"it": {**handler, "stream": stream}}
    logging_configuration["loggers"] = {"tests.printable": {"handlers": ["it"], "propagate": False, "level": "INFO"}}
    logging.config.dictConfig(logging_configuration)
    logger = logging.getLogger("tests.printable")
    logger.warning("said: %s", EVIL, extra={"request_id": EVIL})
    try:
        raise ValueError(EVIL)
    except ValueError:
        logger.exception("failed", extra={"request_id": "-"})
    logger.handlers.clear()
    return stream.getvalue()


def test_log_has_no_controls_and_no_forged_record(logged: str) -> None:
    assert logged.replace("\n", "").isprintable()
    records = [line for line in logged.splitlines() if not line.startswith("    ")]
    assert len(records) == 2 and not any(line.startswith("2026-11-28 00:00:00,000") for line in records), logged
    assert "forged" in logged and "ValueError" in logged
    if logged.startswith("{"):
        assert [json.loads(line)["message"] for line in records] == [f"said: {EVIL}", "failed"]
