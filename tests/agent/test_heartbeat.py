"""The heartbeat, and answers that aren't the server's: a proxy's page, the login page of a network."""

import itertools

import pytest

from apps.agent.pacsync_agent.errors import LeaseLost, Unavailable
from apps.agent.pacsync_agent.operation import heartbeat as module
from apps.agent.pacsync_agent.operation.heartbeat import Heartbeat
from apps.agent.pacsync_agent.server.client import Client
from tests.support.hostile import Behaviour, Hostile, Peer
from tests.support.wait import until


def page(peer: Peer) -> None:
    peer.answer(b"<html>Log in to the network</html>")


def elsewhere(peer: Peer) -> None:
    peer.answer(status="302 Found", Location="http://login.example/")


def takes(peer: Peer) -> None:
    peer.answer(b"{}")


def refuses(peer: Peer) -> None:
    peer.answer(b'{"code": "lease_lost", "detail": "It is another\'s."}', status="409 Conflict")


def one_after_the_other(*behaviours: Behaviour) -> Behaviour:
    turns = itertools.chain(behaviours[:-1], itertools.repeat(behaviours[-1]))
    return lambda peer: next(turns)(peer)


def beating(server: Hostile, lease: float) -> Heartbeat:
    return Heartbeat(Client(server.url, "t"), "o", "t", lease)


@pytest.mark.parametrize("strange", [page, elsewhere])
def test_strange_answer_before_pacman_starts_is_asked_again(strange: Behaviour) -> None:
    with Hostile(one_after_the_other(strange, takes)) as server:
        beating(server, 60).say_applying()
    assert len(server.paths) == 2


def test_strange_answers_without_end_keep_pacman_from_starting_and_say_what_came() -> None:
    with Hostile(page) as server, pytest.raises(Unavailable) as refused:
        beating(server, 4).say_applying()
    assert refused.value.code == "server_unexpected" and "is not a JSON object" in refused.value.message


def test_refusal_after_a_strange_answer_is_a_lost_lease() -> None:
    with Hostile(one_after_the_other(page, refuses)) as server, pytest.raises(LeaseLost):
        beating(server, 60).say_applying()


@pytest.mark.parametrize("strange", [page, elsewhere])
def test_strange_answer_to_a_beat_does_not_lose_the_lease(strange: Behaviour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.05)
    with Hostile(one_after_the_other(strange, takes)) as server, beating(server, 3) as heartbeat:
        until(lambda: len(server.paths) >= 3)
        assert not heartbeat.lost.is_set()
        heartbeat.check()


def test_strange_answers_until_the_lease_has_run_out_lose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.05)
    with Hostile(page) as server, beating(server, 1) as heartbeat:
        assert heartbeat.lost.wait(20)
        with pytest.raises(LeaseLost):
            heartbeat.check()


def test_refused_beat_loses_the_lease_at_once() -> None:
    with Hostile(refuses) as server, beating(server, 3) as heartbeat:
        assert heartbeat.lost.wait(20)
    assert len(server.paths) == 1
