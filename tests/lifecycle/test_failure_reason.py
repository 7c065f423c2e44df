"""What Django logs of an answer: kept if it is an unexpected error, otherwise a part of the request's own line."""

import logging
from typing import Any

import pytest
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.test import RequestFactory

from apps.lifecycle import failure_reason


def kept(logger: str, status: int, request: object, error: Exception | None = None, text: str = "said") -> bool:
    info: Any = (type(error), error, None) if error else None
    record = logging.LogRecord(logger, logging.WARNING, __file__, 1, text, (), info)
    record.status_code, record.request = status, request
    return failure_reason.OneLineForARequest().filter(record)


@pytest.fixture
def request_of_somebody() -> HttpRequest:
    return RequestFactory().get("/")


@pytest.mark.parametrize(
    ("logger", "status", "error", "text", "reason"),
    [
        ("django.request", 404, None, "Not Found: /x", ""),
        ("django.request", 500, None, "Internal Server Error: /api/v1/x", ""),  # whoever answered has logged why
        ("django.request", 503, OSError("away"), "Service Unavailable: /", "away"),
        ("django.security.DisallowedHost", 400, DisallowedHost("no\nsuch host"), "no such host", "no such host"),
        ("django.security.csrf", 403, None, "Forbidden (no cookie): /", "Forbidden (no cookie): /"),
    ],
)
def test_answer_with_an_error_status_has_no_second_line(
    request_of_somebody: HttpRequest, logger: str, status: int, error: Exception | None, text: str, reason: str
) -> None:
    assert not kept(logger, status, request_of_somebody, error, text)
    assert failure_reason.of(request_of_somebody.META) == reason


def test_unexpected_error_is_logged(request_of_somebody: HttpRequest) -> None:
    assert kept("django.request", 500, request_of_somebody, ValueError("oops"))


def test_line_of_no_request_is_logged(request_of_somebody: HttpRequest) -> None:
    assert kept("django.request", 404, None)
    assert kept("apps.fleet", 404, request_of_somebody)


def test_first_reason_counts_and_is_one_short_line(request_of_somebody: HttpRequest) -> None:
    failure_reason.note(request_of_somebody, "")
    failure_reason.note(request_of_somebody, "the\r\ncause\x1b[31m " + "x" * 1000)
    failure_reason.note(request_of_somebody, "what follows")
    reason = failure_reason.of(request_of_somebody.META)
    assert reason.startswith("the cause\\x1b[31m xxx") and len(reason) == failure_reason.LONGEST
