"""What a server may say to an agent: each refused with its reason, in time, and nothing is left behind."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent import addresses, api, target_check, wanted
from apps.agent.pacsync_agent.api import Client
from apps.agent.pacsync_agent.errors import AgentError, Failed, Refused, Unavailable
from apps.agent.pacsync_agent.guard import Guard
from apps.fleet.alpm import state
from apps.fleet.alpm.state import InstalledPackage
from tests.agent.test_hostile_mirror import Machine, package
from tests.support.hostile import DRIP, Behaviour, Hostile, Peer
from tests.support.pacman import Package

__all__ = ["package"]

FILE = "tool-1:2-1-any.pkg.tar.zst"
HOST = "mirror.invalid"

# The address that the server names, and why it is not asked.
URLS = [
    ("file:///etc/shadow", "files count only on mirrors"),
    (f"file:///srv/{FILE}", "files count only on mirrors"),
    (f"FILE:///srv/{FILE}", "files count only on mirrors"),
    ("file:///dev/zero", "files count only on mirrors"),
    (f"file://{HOST}/share/{FILE}", "files count only on mirrors"),
    (f"ftp://{HOST}/{FILE}", "ftp addresses are not supported"),
    (f"gopher://{HOST}/{FILE}", "gopher addresses are not supported"),
    ("data:application/octet-stream,tool", "data addresses are not supported"),
    (f"/srv/{FILE}", "no addresses are not supported"),
    (f"//{HOST}/{FILE}", "no addresses are not supported"),
    ("", "no addresses are not supported"),
    (f"http:///{FILE}", "it makes no sense"),
    (f"http://[::1/{FILE}", "it makes no sense"),
    (f"http://{HOST}:99999/{FILE}", "it makes no sense"),
    (f"http://{HOST}/a b/{FILE}", "it makes no sense"),
    (f"http://{HOST}/\r\nX: y/{FILE}", "it makes no sense"),
    (f"http://{HOST}/\u202e/{FILE}", "it makes no sense"),
    (f"http://\x1b]0;owned\x07/{FILE}", "it makes no sense"),
    (f"http://me:pw@{HOST}/{FILE}", "somebody else's credentials"),
    (f"http://{HOST}/latest/meta-data", "doesn't end in the package's file name"),
    (f"http://{HOST}/?file=/{FILE}", "doesn't end in the package's file name"),
    (f"http://{HOST}/#/{FILE}", "doesn't end in the package's file name"),
    (f"http://{HOST}/other-1-1-any.pkg.tar.zst", "doesn't end in the package's file name"),
    (f"http://{HOST}/x%2F..%2F{FILE}", "doesn't end in the package's file name"),
    (f"http://{HOST}/{FILE}/", "doesn't end in the package's file name"),
    (f"http://{HOST}/{FILE}.sig", "doesn't end in the package's file name"),
]


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_address_of_the_server_that_is_not_asked(url: str, reason: str, package: Package, tmp_path: Path) -> None:
    found, refused = addresses.of_server([url], {FILE})
    assert found == [] and len(refused) == 1 and reason in refused[0]
    assert "pw" not in refused[0] and "\x1b" not in refused[0] and "\r" not in refused[0]
    machine = Machine(tmp_path, package, f"file://{tmp_path}/none")
    with pytest.raises(Refused) as error:
        machine.gather(url)
    assert error.value.code == "package_unavailable" and reason in error.value.message
    assert machine.left_behind() == []


def test_addresses_without_end_are_cut() -> None:
    many = [f"http://h{number}.invalid/{FILE}" for number in range(1000)]
    assert len(addresses.of_server(many, {FILE})[0]) == addresses.OTHERS
    hints = {"name": "tool", "version": "1:2-1", "arch": "any", "urls": many}
    [found] = wanted.of_packages([InstalledPackage("tool", "1:2-1", "any", "explicit")], [hints])
    assert len(found.urls) == wanted.MOST_URLS


PACKAGE = {"name": "tool", "version": "1:2-1", "arch": "any", "reason": "explicit"}
HINT = {"name": "tool", "version": "1:2-1", "arch": "any", "filename": FILE, "sha256": "a" * 64, "size": 10, "urls": []}

# What the claim says of the package's file.
HINTS: dict[str, dict[str, Any]] = {
    "name that leads out": {"filename": "../../etc/cron.d/x"},
    "absolute name": {"filename": "/etc/cron.d/x"},
    "hidden name": {"filename": ".bashrc"},
    "option as a name": {"filename": "--overwrite=*"},
    "name with a line end": {"filename": "a\nb"},
    "name with a zero": {"filename": "a\0b"},
    "name with an escape": {"filename": "a\x1b[2Jb"},
    "name without end": {"filename": "a" * 100_000},
    "name that is no text": {"filename": ["a"]},
    "size below zero": {"size": -1},
    "size with a fraction": {"size": 0.5},
    "size that is a text": {"size": "10"},
    "size that is true": {"size": True},
    "size of everything": {"size": 10**30},
    "checksum cut off": {"sha256": "a" * 63},
    "checksum in capitals": {"sha256": "A" * 64},
    "checksum that is no text": {"sha256": {"a": 1}},
    "repository that leads out": {"repository": "../core"},
    "repository that is no text": {"repository": 7},
    "addresses that are a text": {"urls": "http://x"},
    "addresses that are numbers": {"urls": [1, 2]},
    "another pkgname that leads out": {"name": "../tool"},
    "version with a slash": {"version": "1/2-1"},
    "version that is no text": {"version": None},
    "architecture with a space": {"arch": "any any"},
}


def claim(hint: dict[str, Any], packages: object = None, digest: str | None = None) -> dict[str, Any]:
    made = [PACKAGE] if packages is None else packages
    target = digest or state.digest_of(state.to_text([InstalledPackage(*PACKAGE.values())]))
    return {"operation": {"target_state": target}, "target": {"packages": made}, "fetch": [hint]}


@pytest.mark.parametrize("case", HINTS)
def test_claim_whose_files_make_no_sense(case: str) -> None:
    assert wanted.hints_of(claim(HINT)) == [HINT]
    with pytest.raises(Failed) as error:
        wanted.hints_of(claim(HINT | HINTS[case]))
    assert error.value.code == "target_invalid"
    assert error.value.message.isprintable() and len(error.value.message) < 400


TARGETS: dict[str, object] = {
    "no list": "tool",
    "numbers": [1],
    "no version": [{"name": "tool"}],
    "name that leads out": [PACKAGE | {"name": "../../tool"}],
    "name with a line end": [PACKAGE | {"name": "a\nb 1-1 any explicit"}],
    "option as a name": [PACKAGE | {"name": "--dbpath=/"}],
    "version of no kind": [PACKAGE | {"version": "1"}],
    "reason of no kind": [PACKAGE | {"reason": "because"}],
    "twice": [PACKAGE, PACKAGE],
    "another set": [PACKAGE | {"version": "2-1"}],
    "nothing": [],
}


@pytest.mark.parametrize("case", TARGETS)
def test_claim_whose_target_makes_no_sense(case: str) -> None:
    assert target_check.goal_of(claim(HINT)) == [InstalledPackage(*PACKAGE.values())]
    with pytest.raises(Failed) as error:
        target_check.goal_of(claim(HINT, TARGETS[case]))
    assert error.value.code == "target_invalid"


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
    with Hostile(lambda peer: peer.answer(content, status="422 No")) as server, pytest.raises(api.ApiError) as error:
        Client(server.url, "pse_x").post("/checkin", {})
    said = error.value.as_agent_error("m1")
    assert (
        said.code == "server_older" and "examination" in said.message and "Take the agent from the server" in said.hint
    )


def endless(head: bytes, piece: bytes, pause: float = 0) -> Behaviour:
    def answer(peer: Peer) -> None:
        peer.send(head)
        peer.endless(piece, pause=pause)

    return answer


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
        monkeypatch.setattr(api, name, value)
    monkeypatch.setattr(api, "Guard", lambda **limits: Guard(**limits, window=1))
    began = time.monotonic()
    with Hostile(behaviour) as server, pytest.raises((AgentError, api.ApiError)) as error:
        Client(server.url, "pse_secret", patience=0.2, timeout=1).get("/other")
    found = error.value.as_agent_error("m1") if isinstance(error.value, api.ApiError) else error.value
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
