"""A server that is older than the agent refuses the fields that it doesn't know: the agent does without them."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from apps.agent.pacsync_agent.checkin import report
from apps.agent.pacsync_agent.operation.heartbeat import Heartbeat
from apps.agent.pacsync_agent.pacman.running_hook import RunningHook
from apps.agent.pacsync_agent.server.client import ApiError, Client
from tests.agent.test_hostile_server import CHECKED_IN
from tests.support.hostile import Behaviour, Hostile, Peer
from tests.support.wait import until

HOOK = RunningHook("90-mkinitcpio-install.hook", "Updating images", "2026-11-26T09:14:03+0000")
OPERATION = "2f1d6f0e-7a53-4a76-9d2b-0f5bd2c1c7a1"


def older(fields: list[str], longest: int, answer: dict[str, Any]) -> Behaviour:
    """A server that says no to `fields`: a request with them is longer than `longest` bytes."""
    problem = {
        "code": "invalid_request",
        "detail": "The request isn't valid.",
        "errors": [{"loc": ["body", field], "message": "Extra inputs are not permitted"} for field in fields],
    }

    def behaviour(peer: Peer) -> None:
        if int(peer.headers["content-length"]) > longest:
            peer.answer(json.dumps(problem).encode(), status="422 No")
        else:
            peer.answer(json.dumps(answer).encode())

    return behaviour


def test_hook_that_an_older_server_does_not_know_is_left_out_of_all_heartbeats() -> None:
    plain = len(json.dumps({"lease_token": "t", "phase": "applying"}))
    with Hostile(older(["hook"], plain, {})) as server:
        client = Client(server.url, "pse_x")
        heartbeat = Heartbeat(client, OPERATION, "t", 1, phase="applying")
        heartbeat.hook = lambda: HOOK
        with heartbeat:
            until(lambda: len(server.requests) >= 4, 20)
            assert not heartbeat.lost.is_set()
    lengths = [int(request["content-length"]) > plain for request in server.requests]
    assert lengths[:4] == [True, False, False, False]


def test_hook_is_said_again_with_each_heartbeat() -> None:
    with Hostile(older([], 10_000, {})) as server:
        heartbeat = Heartbeat(Client(server.url, "pse_x"), OPERATION, "t", 1, phase="applying")
        heartbeat.hook = lambda: HOOK
        with heartbeat:
            until(lambda: len(server.requests) >= 3, 20)
    assert all(int(request["content-length"]) > 100 for request in server.requests)


@pytest.mark.parametrize(("unknown", "taken"), [(["protected"], True), (["protected", "state"], False)])
def test_report_does_without_what_it_need_not_say(unknown: list[str], taken: bool) -> None:
    """And without nothing else: a report that lacks its state would say something untrue."""
    body = {"state": "s" * 64, "protected": [{"names": ["linux"], "why": "x" * 500}]}
    longest = 200 if taken else 0
    with Hostile(older(unknown, longest, CHECKED_IN)) as server:
        context: Any = SimpleNamespace(client=Client(server.url, "pse_x"))
        if taken:
            assert report.post_report(context, body) == CHECKED_IN
        else:
            with pytest.raises(ApiError) as error:
                report.post_report(context, body)
            assert error.value.as_agent_error("m1").code == "server_older"
    assert len(server.requests) == 2
