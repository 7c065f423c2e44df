"""A server that answers 429: the agent waits as it is told, and says what the server says."""

import json

import pytest

from apps.agent.pacsync_agent.errors import Exit, Unavailable
from apps.agent.pacsync_agent.server.client import Client
from tests.agent.test_network import Web, web

__all__ = ["web"]
DETAIL = "This endpoint has made 300 uploads in an hour (UPLOAD_QUOTA_PER_HOUR); it may continue in 1200 s."
PROBLEM = json.dumps({"code": "upload_quota_exceeded", "detail": DETAIL}).encode()


def test_client_short_wait_is_waited_for(web: Web) -> None:
    web.answers["/api/v1/me"] = [(429, {"Retry-After": "1"}, PROBLEM), (200, {}, b'{"name": "m1"}')]
    assert Client(web.url, "pse_x").get("/me") == {"name": "m1"}


def test_client_long_wait_is_said_at_once_with_the_servers_words(web: Web) -> None:
    web.answers["/api/v1/me"] = [(429, {"Retry-After": "1200"}, PROBLEM)]
    with pytest.raises(Unavailable) as error:
        Client(web.url, "pse_x", patience=30).get("/me")
    assert (error.value.code, error.value.message, error.value.after) == ("too_many_requests", DETAIL, 1200)
    assert "1200 s" in error.value.hint and error.value.exit == Exit.UNAVAILABLE
    assert len(web.seen) == 1


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]"])
def test_client_429_of_something_else_in_between_is_said(web: Web, body: bytes) -> None:
    web.answers["/api/v1/me"] = [(429, {"Retry-After": "99999999"}, body)]
    with pytest.raises(Unavailable) as error:
        Client(web.url, "pse_x", patience=1).get("/me")
    assert "429" in error.value.message and error.value.after == 3600
