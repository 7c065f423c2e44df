"""The agents and the people of the demo against the real API: what they do moves the fleet as real ones would."""

import random
from typing import Any

import pytest
from django.test import Client

from apps.fleet import difference, pool_manager, states, status, sync_coordinator, tokens
from apps.fleet.models import AuditEvent, Endpoint, EndpointState, Operation, OperationStatus, Pool, State
from demo import agents, database
from demo.agents import Agent
from demo.api import Api, Refused
from demo.machines import Fare, Fleet
from demo.people import People

pytestmark = pytest.mark.django_db
DAYS = (-6, -2)


class InProcess(Api):
    """The API without a network: the same requests, answered by Django's test client."""

    def _send(
        self, token: str, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> dict[str, Any]:
        headers = headers | {"Authorization": f"Bearer {token}"}
        kind = headers.pop("Content-Type")
        answer = Client(raise_request_exception=False).generic(
            method, f"/api/v1{path}", content or b"", content_type=kind, headers=headers
        )
        found: dict[str, Any] = answer.json() if answer.content else {}
        if answer.status_code >= 400:
            raise Refused(answer.status_code, str(found.get("code", "")))
        return found


class Always(random.Random):
    """A chance that always gives the same."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.fixture
def api() -> Api:
    return InProcess(0)


@pytest.fixture
def fleet(api: Api) -> dict[str, Agent]:
    """The agents of a small fleet, by name; each does at once what it finds, and doesn't fail."""
    made = database.agents(database.fill(Fleet(endpoints=40, pools=3), days=DAYS, with_story=False), api)
    for agent in made:
        agent.chance = Always(0.2)
    return {agent.machine.name: agent for agent in made}


def of(fleet: dict[str, Agent], pool: str, fare: Fare = Fare.FOLLOWED) -> Agent:
    """An agent of that pool whose machine isn't the source of its target."""
    return next(
        one for name, one in fleet.items() if (one.machine.pool, one.machine.fare) == (pool, fare) and "001" not in name
    )


def endpoint(agent: Agent) -> Endpoint:
    return Endpoint.objects.with_target().get(name=agent.machine.name)


def sides(operation: Operation) -> tuple[State, State]:
    return operation.base_state, operation.target_state


def test_agent_with_nothing_to_do_is_seen_and_changes_nothing(fleet: dict[str, Agent]) -> None:
    agent = of(fleet, "web")
    before, entries = endpoint(agent), EndpointState.objects.count()
    assert agent.step() == pytest.approx(agent.poll, rel=0.3)
    after = endpoint(agent)
    assert after.report_seq > before.report_seq and after.last_seen and before.last_seen
    assert after.last_seen > before.last_seen
    assert (after.state_id, after.foreign) == (before.state_id, before.foreign)
    assert EndpointState.objects.count() == entries


def test_agent_carries_out_what_is_queued_step_by_step(fleet: dict[str, Agent]) -> None:
    agent = of(fleet, "web")
    agent.upgrade(3)
    agent.step()
    assert status.of_one(endpoint(agent)) == status.EndpointStatus.AHEAD
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint(agent), kind="sync", actor="test")
    seen = []
    for _ in range(4):
        agent.step()
        operation.refresh_from_db()
        seen.append(operation.status)
    assert seen == ["queued", "leased", "applying", "succeeded"]
    assert status.of_one(endpoint(agent)) == status.EndpointStatus.IN_SYNC


def test_agent_that_fails_says_why_and_changes_nothing(
    fleet: dict[str, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agents, "FAILURES", 1.0)
    agent = of(fleet, "web")
    agent.upgrade(3)
    agent.step()
    state = endpoint(agent).state_id
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint(agent), kind="sync", actor="test")
    for _ in range(3):
        agent.step()
    operation.refresh_from_db()
    assert operation.status == OperationStatus.FAILED
    assert operation.result and operation.result["code"] == "package_unavailable"
    [first, *_] = [one.after for one in difference.compare(*map(states.load, sides(operation))) if one.after]
    assert operation.result["message"].startswith(f"{first.name} {first.version} can't be had: https://")
    assert endpoint(agent).state_id == state


def test_agent_after_an_upgrade_uploads_what_the_server_has_not(fleet: dict[str, Agent]) -> None:
    agent = of(fleet, "web")
    agent.upgrade(20)
    assert not State.objects.filter(pk=agent.state).exists()
    agent.step()
    assert endpoint(agent).state_id == agent.state
    assert status.of_one(endpoint(agent)) == status.EndpointStatus.AHEAD


def test_agent_that_is_refused_tries_again_later(fleet: dict[str, Agent]) -> None:
    agent = of(fleet, "web")
    agent.token = "pse_unknown"
    assert agent.step() > 0


def test_agent_that_is_away_asks_nothing(fleet: dict[str, Agent]) -> None:
    agent = of(fleet, "web")
    before, agent.away = endpoint(agent).last_seen, True
    assert agent.step() > 0
    assert endpoint(agent).last_seen == before


@pytest.fixture
def people(fleet: dict[str, Agent], api: Api) -> People:
    _, token = tokens.create_api_token(name="demo", role="operator", actor="test")
    made = People(api, token, list(fleet.values()))
    made._chance = Always(0.0)
    return made


def test_people_sync_a_machine_that_is_behind(fleet: dict[str, Agent], people: People) -> None:
    agent = of(fleet, "web")
    agent.upgrade(-6)
    agent.step()
    people._sync_by_hand()
    assert Operation.objects.get(status=OperationStatus.QUEUED).endpoint.pool.name == "web"  # type: ignore[union-attr]


def test_people_set_the_next_target_of_the_canaries_and_promote_the_one_before(people: People) -> None:
    canary, workstations = (Pool.objects.get(name=name) for name in ("canary", "workstations"))
    assert canary.target and workstations.target
    pool_manager.go_back(pool=canary, number=1, actor="test")
    people._next_target()
    after = Pool.objects.get(pk=canary.pk)
    assert after.target and after.target.number == canary.target.number + 2
    promoted = Pool.objects.get(pk=workstations.pk).target
    assert promoted and promoted.promoted_from == "canary"


def test_people_do_something_each_time_and_no_refusal_stops_them(people: People) -> None:
    before = AuditEvent.objects.count()
    for _ in range(10):
        assert people.step() > 0
    assert AuditEvent.objects.filter(actor="token:demo").count() >= 4
    assert AuditEvent.objects.count() > before


def test_people_revert_a_web_server(people: People) -> None:
    people._revert()
    assert Operation.objects.get(status=OperationStatus.QUEUED).kind == "revert"
