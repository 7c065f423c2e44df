"""A server that answers too slowly, too much, not to the end, or with a redirect: nothing of it is taken."""

import socket
import time
from typing import Any

import pytest

from apps.vulnerabilities import fetching, source
from apps.vulnerabilities.exceptions import ListRefused
from tests.vulnerabilities.lists import OTHER
from tests.vulnerabilities.refusals import refused
from tests.vulnerabilities.tracker import Handler, Tracker


def test_answer_that_drips_is_cut_off_in_time(good: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SECONDS", 1.0)

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not good.over.wait(0.05):
            handler.wfile.write(b" ")

    good.respond = drip
    began = time.monotonic()
    refused("list_timed_out")
    assert time.monotonic() - began < 10


def test_answer_without_length_that_drips_is_cut_off_too(good: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the connection is the end of such an answer, so the cut must not pass for the end."""
    monkeypatch.setattr(source, "SECONDS", 1.0)

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(OTHER)
        while not good.over.wait(0.05):
            handler.wfile.write(b" ")

    good.respond = drip
    refused("list_timed_out")


def test_head_that_drips_is_cut_off_too(good: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "SECONDS", 1.0)

    def drip(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not good.over.wait(0.05):
            handler.wfile.write(b"x")

    good.respond = drip
    refused("list_timed_out")


def test_answer_that_is_cut_off_is_refused(good: Tracker) -> None:
    def cut(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(OTHER) + 1))
        handler.end_headers()
        handler.wfile.write(OTHER)
        handler.close_connection = True

    good.respond = cut
    refused("list_unreachable")


@pytest.mark.parametrize("with_length", [True, False])
def test_too_large_answer_is_refused_before_it_is_read_whole(
    good: Tracker, monkeypatch: pytest.MonkeyPatch, with_length: bool
) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 1 << 20)
    sent = 0

    def pour(handler: Handler) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.send_header(*(("Content-Length", str(1 << 30)) if with_length else ("Connection", "close")))
        handler.end_headers()
        for _ in range(1 << 14):
            handler.wfile.write(b" " * (1 << 16))
            sent += 1 << 16

    good.respond = pour
    refused("list_too_large")
    assert sent < 1 << 28


def test_nobody_listens_is_refused_with_a_reason(good: Tracker, settings: Any) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings.SECURITY_TRACKER_URL = f"http://127.0.0.1:{free.getsockname()[1]}/all.json?token=secret"
        text = str(refused("list_unreachable"))
    assert "refused" in text and "secret" not in text


@pytest.mark.parametrize("url", ["http://[::1/all.json", "http://", "https:all.json"])
def test_address_that_is_none_is_refused(tracker: None, url: str, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = url
    with pytest.raises(ListRefused) as caught:
        fetching.fetch_now()
    assert caught.value.code == "list_unreachable"


def test_redirect_within_the_scheme_is_followed(good: Tracker) -> None:
    def respond(handler: Handler) -> None:
        if handler.path == "/moved":
            handler.answer(200, OTHER)
        else:
            handler.answer(302, Location="/moved")

    good.respond = respond
    assert fetching.fetch_now()


@pytest.mark.parametrize(
    "location", ["https://127.0.0.1/all.json", "file:///etc/passwd", "ftp://127.0.0.1/x", "data:,[]"]
)
def test_redirect_to_another_scheme_is_refused(good: Tracker, location: str) -> None:
    good.serves(b"", 302, Location=location)
    refused("list_redirected")


@pytest.mark.parametrize("location", ["/all.json", "http://[::1/", ""])
def test_redirect_that_leads_nowhere_is_refused(good: Tracker, location: str) -> None:
    good.serves(b"", 302, Location=location)
    refused("list_redirected" if location else "list_refused")


def test_what_a_server_says_controls_no_terminal() -> None:
    refusal = ListRefused("list_refused", "The server answered \x1b[2J\x1b[31mowned.")
    assert str(refusal) == "The server answered \\x1b[2J\\x1b[31mowned."
