"""Two machines with one token are noticed; one machine, whatever happens to it, isn't taken for two."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from apps.fleet import attention, endpoint_manager, endpoint_tokens, exceptions, pool_manager, sync_coordinator, waiting
from apps.fleet.models import AuditEvent, Endpoint, Operation
from apps.fleet.models.operations import OperationKind
from tests import factories

pytestmark = pytest.mark.django_db

_clock = itertools.count(1_700_000_000_000, 1000)


class Agent:
    """What an agent keeps on its disk: the number of its last report. A copy of it is a clone, or a snapshot."""

    def __init__(self, endpoint: Endpoint, *, behind: int = 0, says: bool = True) -> None:
        """`behind`: milliseconds by which its clock is late. `says`: whether it says the number of its last report."""
        self.endpoint, self.behind, self.says = endpoint, behind, says
        self.last: int | None = None

    def clone(self, **changes: Any) -> "Agent":
        made = copy.copy(self)
        vars(made).update(changes)
        return made

    def number(self) -> int:
        """The number of its next report, as if the request were lost."""
        self.last = max((self.last or 0) + 1, next(_clock) - self.behind)
        return self.last

    def report(self, text: str = "app 1-1", *, seq: int | None = None, previous: int | None = None) -> int:
        before = self.last if previous is None else previous
        seq = self.number() if seq is None else seq
        token_hash = Endpoint.objects.values_list("token_hash", flat=True).get(pk=self.endpoint.pk)
        endpoint = Endpoint.objects.with_target().get(token_hash=token_hash)
        state = factories.state(text)
        endpoint_manager.check_in(
            endpoint=endpoint,
            seq=seq,
            state=state.digest,
            repositories=[factories.reported_repository(factories.repository("app 1-1"))],
            holds=[],
            agent_version="1",
            previous_seq=before if self.says else None,
        )
        return seq


@pytest.fixture
def agent() -> Iterator[Agent]:
    made = Agent(factories.endpoint("box", pool=factories.pool("lab")))
    made.report()
    made.report()
    yield made


def shared(agent: Agent) -> bool:
    agent.endpoint.refresh_from_db()
    return agent.endpoint.token_shared is not None


# --- Noticed ----------------------------------------------------------------------------------------------------


def test_clone_is_noticed_after_each_reported_a_few_times(agent: Agent) -> None:
    other = agent.clone()
    for _ in range(2):
        other.report()
        agent.report()
    assert not shared(agent)
    other.report()
    assert shared(agent)
    event = AuditEvent.objects.get(verb="token_shared")
    assert (event.actor, event.object) == ("server", "endpoint:box")
    agent.report()
    other.report()
    assert AuditEvent.objects.filter(verb="token_shared").count() == 1


@pytest.mark.parametrize(
    "changes",
    [{"behind": 3_600_000}, {"behind": -300_000}, {"says": False}],
    ids=["clock an hour late", "clock ahead", "the other one is old"],
)
def test_clone_with_another_clock_or_an_old_agent_is_noticed(agent: Agent, changes: dict[str, Any]) -> None:
    other = agent.clone(**changes)
    for _ in range(5):
        other.report()
        agent.report()
    assert shared(agent)


def test_clones_of_which_one_loses_requests_are_noticed(agent: Agent) -> None:
    other = agent.clone()
    for turn in range(8):
        other.report()
        if turn % 2:
            agent.number()
        agent.report()
    assert shared(agent)


def test_three_clones_with_other_packages_are_noticed(agent: Agent) -> None:
    machines = [agent, agent.clone(), agent.clone()]
    for turn in range(3):
        for place, machine in enumerate(machines):
            machine.report(f"app {turn}.{place}-1")
    assert shared(agent)


# --- Not taken for two ------------------------------------------------------------------------------------------


def test_one_machine_reports_for_ever(agent: Agent) -> None:
    for _ in range(20):
        agent.report()
    assert not shared(agent) and agent.endpoint.report_chains is None


def test_old_agents_are_never_noticed(agent: Agent) -> None:
    agent.says = False
    other = agent.clone()
    for _ in range(10):
        other.report()
        agent.report()
    assert not shared(agent)


def test_snapshot_that_is_restored_again_and_again_is_one_machine(agent: Agent) -> None:
    snapshot = agent.clone()
    for _ in range(20):
        machine = snapshot.clone()
        for _ in range(2):
            machine.report()
    assert not shared(agent)


def test_snapshots_restored_in_turn_are_one_machine(agent: Agent) -> None:
    first = agent.clone()
    agent.report()
    second = agent.clone()
    agent.report()
    for _ in range(10):
        for snapshot in (first, second):
            machine = snapshot.clone()
            for _ in range(3):
                machine.report()
    assert not shared(agent)


def test_requests_that_are_lost_or_repeated_or_late_are_one_machine(agent: Agent) -> None:
    for _ in range(10):
        before = agent.last
        seq = agent.report()
        agent.report(seq=seq, previous=before)  # the answer was lost: the same request again
        agent.number()  # the request was lost
    assert not shared(agent) and agent.endpoint.report_chains is None


def test_agent_whose_disk_was_full_is_one_machine(agent: Agent) -> None:
    """The service and the hook each have their own numbers while there is no room, and say no last one."""
    service, hook = agent.clone(says=False), agent.clone(says=False)
    for _ in range(5):
        service.report()
        hook.report()
    for _ in range(5):
        agent.report()
    assert not shared(agent)


def test_reinstalled_machine_that_enrols_again_is_one_machine(agent: Agent) -> None:
    for _ in range(5):
        _, code = endpoint_tokens.allow_reenrolment(endpoint=agent.endpoint, actor="test")
        endpoint_manager.enroll(code=code, name="box", arch="x86_64")
        agent.last = None
        agent.report()
        agent.report()
    assert not shared(agent) and agent.endpoint.report_chains is None


def test_slow_alternation_is_not_noticed_as_if_it_were_quick(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two states of a virtual machine that somebody runs in turn, a day each."""
    days = itertools.count(0, 86_400)
    monkeypatch.setattr("apps.fleet.shared_tokens.time.time", lambda: 1_700_000_000 + next(days))
    other = agent.clone()
    for _ in range(6):
        other.report()
        agent.report()
    assert not shared(agent)


# --- What follows -----------------------------------------------------------------------------------------------


@pytest.fixture
def clones(agent: Agent) -> tuple[Agent, Agent]:
    """Two machines that were noticed, in a pool with automatic sync to another target."""
    pool = agent.endpoint.pool
    assert pool
    factories.target(pool, "app 2-1")
    operation, _ = sync_coordinator.create_operation(endpoint=agent.endpoint, kind="sync", actor="test")
    other = agent.clone()
    for _ in range(3):
        other.report()
        agent.report()
    assert shared(agent)
    assert Operation.objects.get(pk=operation.pk).status == "queued"
    return agent, other


def offered(agent: Agent) -> Operation | None:
    endpoint = Endpoint.objects.with_target().get(pk=agent.endpoint.pk)
    return factories.report(endpoint, factories.state("app 1-1")).operation


def test_no_operation_is_offered_claimed_or_made(clones: tuple[Agent, Agent]) -> None:
    agent, _ = clones
    assert offered(agent) is None
    operation = Operation.objects.get()
    with pytest.raises(exceptions.NotClaimable, match="More than one machine"):
        factories.claim(operation)
    found = waiting.of(Operation.objects.with_names().get(pk=operation.pk))
    assert found and found.code == "token_shared"
    sync_coordinator.cancel(operation=operation, actor="test")
    for kind in OperationKind.values:
        with pytest.raises(exceptions.TokenShared):
            sync_coordinator.create_operation(endpoint=agent.endpoint, kind=kind, actor="test")


def test_no_automatic_sync_no_target_no_rotation(clones: tuple[Agent, Agent]) -> None:
    agent, _ = clones
    pool = agent.endpoint.pool
    assert pool
    sync_coordinator.cancel(operation=Operation.objects.get(), actor="test")
    pool_manager.change_pool(pool=pool, actor="test", auto_sync=True)
    agent.report("app 1.5-1")
    assert not Operation.objects.active().exists()
    with pytest.raises(exceptions.TokenShared):
        pool_manager.set_target(pool=pool, endpoint=agent.endpoint, actor="test", force=True)
    for do in (
        lambda: endpoint_tokens.request_rotation(endpoint=agent.endpoint, actor="test"),
        lambda: endpoint_tokens.prepare_token(endpoint=agent.endpoint, token_hash="0" * 64),
    ):
        with pytest.raises(exceptions.TokenShared):
            do()


def test_operation_that_has_begun_goes_on(agent: Agent) -> None:
    pool = agent.endpoint.pool
    assert pool
    factories.target(pool, "app 2-1")
    operation, _ = sync_coordinator.create_operation(endpoint=agent.endpoint, kind="sync", actor="test")
    begun = factories.applying(operation)
    Endpoint.objects.update(token_shared="2026-01-01T00:00:00Z")
    assert factories.finish(begun).status == "succeeded"


def test_one_of_them_enrols_again_and_works_on(clones: tuple[Agent, Agent]) -> None:
    agent, _ = clones
    _, code = endpoint_tokens.allow_reenrolment(endpoint=agent.endpoint, actor="test")
    _, token = endpoint_manager.enroll(code=code, name="box", arch="x86_64")
    assert not shared(agent)
    for _ in range(4):
        agent.report()
    assert not shared(agent)
    assert endpoint_manager.authenticate(token=token) == agent.endpoint
    operation, _ = sync_coordinator.create_operation(endpoint=agent.endpoint, kind="sync", actor="test")
    assert factories.applying(operation).status == "applying"


def test_it_needs_attention_and_says_what_to_do(clones: tuple[Agent, Agent]) -> None:
    (item,) = [one for one in attention.needs_attention(None) if one.kind == "token_shared"]
    assert (item.severity, item.endpoint, item.count, item.pool) == ("bad", "box", 1, "lab")
    assert item.cause == "More than one machine reports as box, with the same token, so no operation starts there."
    for name in ("two", "three"):
        factories.endpoint(name, pool=Endpoint.objects.get(name="box").pool)
    Endpoint.objects.filter(name__in=["two", "three"]).update(token_shared="2026-01-01T00:00:00Z")
    (item,) = [one for one in attention.needs_attention(None) if one.kind == "token_shared"]
    assert (item.endpoint, item.count) == (None, 3)
