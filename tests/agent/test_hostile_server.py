"""What a server may answer to an agent, and how: each refused with its reason, in time."""

import json
import time
import uuid
from typing import Any

import pytest

from apps.agent.pacsync_agent.errors import AgentError, Failed, Unavailable
from apps.agent.pacsync_agent.http.transfer_limits import Guard
from apps.agent.pacsync_agent.server import client
from apps.agent.pacsync_agent.server.client import Client
from tests.support.hostile import DRIP, Behaviour, Hostile, endless

OPERATION = {"id": str(uuid.UUID(int=7)), "kind": "sync", "status": "queued", "base_state": "x", "target_state": "y"}
OPERATION |= {"plan": {"install": 1}, "result": None}
CHECKED_IN = {"want": [], "status": "behind", "pool": "web", "target": {"number": 1}, "operation": OPERATION}
CHECKED_IN |= {"poll_seconds": 60, "recorded": True}
CLAIM = {"operation": OPERATION, "lease_seconds": 60, "target": {}, "fetch": []}

# The request, a good answer, and what is changed in it.
ANSWERS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("/checkin", CHECKED_IN, {"want": "everything"}),
    ("/checkin", CHECKED_IN, {"want": ["../../etc/passwd"]}),
    ("/checkin", CHECKED_IN, {"want": ["a" * 64] * 2000}),
    ("/checkin", CHECKED_IN, {"poll_seconds": 0}),
    ("/checkin", CHECKED_IN, {"poll_seconds": -1}),
    ("/checkin", CHECKED_IN, {"poll_seconds": 1e99}),
    ("/checkin", CHECKED_IN, {"poll_seconds": float("nan")}),
    ("/checkin", CHECKED_IN, {"poll_seconds": float("inf")}),
    ("/checkin", CHECKED_IN, {"poll_seconds": "soon"}),
    ("/checkin", CHECKED_IN, {"pool": {"name": "web"}}),
    ("/checkin", CHECKED_IN, {"target": 7}),
    ("/checkin", CHECKED_IN, {"target": {"number": "7"}}),
    ("/checkin", CHECKED_IN, {"target": {"number": 10**15}}),
    ("/checkin", CHECKED_IN, {"operation": []}),
    ("/checkin", CHECKED_IN, {"operation": OPERATION | {"id": "../../pools"}}),
    ("/checkin", CHECKED_IN, {"operation": OPERATION | {"id": "x\r\nHost: y"}}),
    ("/checkin", CHECKED_IN, {"operation": OPERATION | {"kind": "erase"}}),
    ("/checkin", CHECKED_IN, {"operation": {"id": OPERATION["id"]}}),
    ("/enroll", {"id": 1, "name": "m1", "token": "pse_x", "pool": None}, {"token": ["pse_x"]}),
    ("/enroll", {"id": 1, "name": "m1", "token": "pse_x", "pool": None}, {"name": None}),
    ("/enroll", {"id": 1, "name": "m1", "token": "pse_x", "pool": None}, {"name": "m1\nEnrolled as root"}),
    ("/enroll", {"id": 1, "name": "m1", "token": "pse_x", "pool": None}, {"name": "m1\n"}),
    ("/enroll", {"id": 1, "name": "m1", "token": "pse_x", "pool": None}, {"name": "../m1"}),
    ("/enroll", {"id": 1, "name": "m1", "token": "pse_x", "pool": None}, {"pool": "web. Run `curl x`"}),
    ("/enroll", {"id": 1, "name": "m1", "token": "pse_x", "pool": "web"}, {"token": "pse_x\r\nX-Admin: yes"}),
    ("/checkin", CHECKED_IN, {"pool": "web\nAll is well"}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"lease_seconds": "long"}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"lease_seconds": -5}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"fetch": {"tool": {}}}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"fetch": ["tool"]}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"target": None}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"operation": "it"}),
    ("/operations", OPERATION, {"status": 1}),
    ("/pools/web/targets", {"number": 1}, {"number": None}),
]


# The same for what an answer may lack.
ADDED: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("/checkin", CHECKED_IN, {"revision": 7}),
    ("/checkin", CHECKED_IN, {"revision": {"number": 7}}),
    ("/checkin", CHECKED_IN, {"revision": {"number": "7", "digest": "0" * 64}}),
    ("/checkin", CHECKED_IN, {"revision": {"number": 7, "digest": "../x"}}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"target": {"unmanaged": ["tool"]}}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"target": {"unmanaged": [{"name": 1, "why": "held"}]}}),
    (f"/operations/{OPERATION['id']}/claim", CLAIM, {"target": {"revision": {"number": 1}}}),
    ("/pools/web/targets", {"number": 1}, {"unmanaged": [{"name": "tool"}]}),
]


@pytest.mark.parametrize(("path", "good", "change"), ADDED)
def test_answer_whose_addition_is_wrong(path: str, good: dict[str, Any], change: dict[str, Any]) -> None:
    content = json.dumps(good | change).encode()
    with Hostile(lambda peer: peer.answer(content)) as server, pytest.raises(Failed) as error:
        Client(server.url, "pse_x").post(path, {})
    assert error.value.code == "server_unexpected" and next(iter(change)) in error.value.message


@pytest.mark.parametrize(("path", "good", "change"), ANSWERS)
def test_answer_that_is_not_what_it_should_be(path: str, good: dict[str, Any], change: dict[str, Any]) -> None:
    content = [json.dumps(good | change).encode()]
    with Hostile(lambda peer: peer.answer(content[0])) as server:
        with pytest.raises(Failed) as error:
            Client(server.url, "pse_x").post(path, {})
        assert error.value.code == "server_unexpected" and next(iter(change)) in error.value.message
        without = {key: value for key, value in good.items() if key not in change}
        content[0] = json.dumps(without).encode()
        with pytest.raises(Failed, match="has no"):
            Client(server.url, "pse_x").post(path, {})
        content[0] = json.dumps(good).encode()
        assert Client(server.url, "pse_x").post(path, {}) == good


@pytest.mark.parametrize("number", [-1, 2**31, 10**15, True, 1.5])
def test_answer_with_a_revision_that_no_server_takes_back(number: object) -> None:
    answer = CHECKED_IN | {"poll_seconds": 9, "revision": {"number": number, "digest": "a" * 64}}
    with Hostile(lambda peer: peer.answer(json.dumps(answer).encode())) as server, pytest.raises(Failed) as error:
        Client(server.url, "pse_x").post("/checkin", {})
    assert error.value.code == "server_unexpected" and "revision" in error.value.message


def test_server_that_does_not_know_a_field_is_an_older_one() -> None:
    problem = {
        "code": "invalid_request",
        "detail": "The request isn't valid.",
        "errors": [{"loc": ["body", "examination"], "message": "Extra inputs are not permitted"}],
    }
    content = json.dumps(problem).encode()
    with Hostile(lambda peer: peer.answer(content, status="422 No")) as server, pytest.raises(client.ApiError) as error:
        Client(server.url, "pse_x").post("/checkin", {})
    said = error.value.as_agent_error("m1")
    assert (
        said.code == "server_older" and "examination" in said.message and "Take the agent from the server" in said.hint
    )


OK = b"HTTP/1.1 200 OK\r\n"
# How the answer comes, the error, and a word of its message.
TRANSPORT: dict[str, tuple[Behaviour, type[AgentError], str]] = {
    "silent": (lambda peer: peer.silence(), Unavailable, "no answer"),
    "hangs up": (lambda peer: None, Unavailable, "broke off"),
    "not HTTP": (lambda peer: peer.send(b"220 mail\r\n"), Unavailable, "doesn't speak HTTP"),
    "drips its head": (endless(OK, b"X: y\r\n", DRIP), Unavailable, "no answer within"),
    "continues for ever": (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), Unavailable, "no answer within"),
    "drips its body": (endless(OK + b"\r\n", b" ", DRIP), Unavailable, "slower than"),
    "endless": (endless(OK + b"\r\n", b" " * 65536), Failed, "not a JSON object"),
    "cut off": (lambda peer: peer.answer(b'{"name"', length=100), Unavailable, "broke off"),
    "a list": (lambda peer: peer.answer(b"[]"), Failed, "not a JSON object"),
    "a login page": (lambda peer: peer.answer(b"<html>"), Failed, "not a JSON object"),
    "deep": (lambda peer: peer.answer(b"[" * 200_000), Failed, "not a JSON object"),
    "a number without end": (lambda peer: peer.answer(b'{"a": ' + b"9" * 10_000 + b"}"), Failed, "not a JSON object"),
    "not UTF-8": (lambda peer: peer.answer(b'{"a": "\xff"}'), Failed, "not a JSON object"),
    "redirects": (
        lambda peer: peer.answer(status="302 Found", Location="http://127.0.0.1:9/\x1b[2J"),
        AgentError,
        "redirects to http://127.0.0.1:9/?[2J",
    ),
    "refuses in escapes": (
        lambda peer: peer.answer(b'{"code": "x\\u001b[2J", "detail": "\\u001b]0;owned\\u0007no"}', status="422 No"),
        AgentError,
        "?]0;owned?no",
    ),
    "asks for patience for ever": (
        lambda peer: peer.answer(status="503 Busy", Retry_After="99999999999"),
        Unavailable,
        "it answers 503",
    ),
}


@pytest.mark.parametrize("case", TRANSPORT)
def test_answer_that_comes_in_a_wrong_way(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    behaviour, kind, word = TRANSPORT[case]
    for name, value in (("HEAD", 2.0), ("TOTAL", 6.0), ("ANSWER_LIMIT", 4 << 20)):
        monkeypatch.setattr(client, name, value)
    monkeypatch.setattr(client, "Guard", lambda **limits: Guard(**limits, window=1))
    began = time.monotonic()
    with Hostile(behaviour) as server, pytest.raises((AgentError, client.ApiError)) as error:
        Client(server.url, "pse_secret", patience=0.2, timeout=1).get("/other")
    found = error.value.as_agent_error("m1") if isinstance(error.value, client.ApiError) else error.value
    assert isinstance(found, kind) and word in found.message, found.message
    assert time.monotonic() - began < 20
    assert found.message.isprintable() and "pse_secret" not in found.message


def test_texts_of_the_server_are_fit_for_a_terminal() -> None:
    text = "a\tb\nc\r\u2028\u202e"
    said = {
        "name": "m1\x1b[2J\x07",
        "list": [{"\x1bkey": text}],
        "number": 7,
        "none": None,
        "result": {"log_tail": text},
    }
    with Hostile(lambda peer: peer.answer(json.dumps(said).encode())) as server:
        found = Client(server.url).get("/other")
    alone = {"name": "m1?[2J?", "list": [{"?key": "a b c???"}], "number": 7, "none": None}
    assert found == alone | {"result": {"log_tail": "a\tb\nc???"}}


def test_token_with_a_line_end_is_never_sent() -> None:
    with Hostile(lambda peer: peer.answer(b"{}")) as server:
        with pytest.raises(Unavailable):
            Client(server.url, "pse_x\r\nX-Admin: yes", patience=0.2).get("/other")
        assert server.requests == []
