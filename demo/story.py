"""The recent events of the fleet: operations of every kind, a failed sync, a rollout.

Everything goes through the functions of the fleet, as if people and agents had done it. Time passes between the scenes.
A scene is left out if a small fleet doesn't have its machines. It must not know what happens afterwards.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta

from apps.fleet import (
    audit,
    clock,
    difference,
    endpoint_manager,
    leases,
    pool_manager,
    states,
    sync_coordinator,
    tokens,
)
from apps.fleet.difference import ChangeKind
from apps.fleet.exceptions import Conflict
from apps.fleet.models import Endpoint, EndpointRepository, Operation, Pool
from apps.fleet.reports import ReportedRepository
from demo import failures, past
from demo.machines import Fare, Machine
from demo.rows import Repositories
from demo.seeding import AGENT, PEOPLE

ADA, GRACE, LINUS = PEOPLE


def tell(machines: Iterable[Machine]) -> None:
    """Play all scenes. The fleet has to be the one that `seeding.seed` has just written."""
    cast = _Cast(machines)
    for scene, hours in (
        (_codes_and_tokens, 26),
        (_lost, 20),
        (_reverted, 2),
        (_canary, 9),
        (_failed, 2),
        (_cancelled, 1),
        (_decided_by_a_report, 1),
        (_conflicting_files, 0.5),
        (_locked_out, 0.5),
        (_rollout, 0),
    ):
        _play(scene, cast)
        past.move(timedelta(hours=hours))
    _update_last_seen(cast)
    _play(_running_now, cast)


def _play(scene: Callable[["_Cast"], None], cast: "_Cast") -> None:
    with contextlib.suppress(Conflict):  # in a small fleet a machine may have nothing to sync or revert
        scene(cast)


# The phase of the progress by the status of the operation.
PROGRESS_PHASES = {"leased": "downloading", "applying": "applying"}


class _Cast:
    """Finds machines for a scene. Each machine is in one scene only."""

    def __init__(self, machines: Iterable[Machine]) -> None:
        self.machines = list(machines)
        self._free = list(self.machines)

    def some(self, pool: str, fare: Fare, count: int) -> list[Endpoint]:
        """Up to `count` endpoints of the pool with that history, without the pool's source."""
        found = [one for one in self._free if one.pool == pool and one.fare is fare and not one.name.endswith("001")]
        self._free = [one for one in self._free if one not in found[:count]]
        rows = Endpoint.objects.with_target().filter(name__in=[one.name for one in found[:count]])
        return list(rows.order_by("name"))


def _begin(endpoint: Endpoint, *, author: str, kind: str = "sync", phase: str = "applying") -> Operation:
    """Create the operation and have its agent claim it; `phase` is what it says then, a third of the way through."""
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind=kind, actor=author)
    lease_token = uuid.uuid4()
    sync_coordinator.claim(
        operation_id=operation.pk, endpoint=endpoint, lease_token=lease_token, state=operation.base_state_id
    )
    total = sum(count for change, count in operation.plan.items() if change != "reason")
    return sync_coordinator.heartbeat(
        operation_id=operation.pk,
        endpoint=endpoint,
        lease_token=lease_token,
        phase=phase,
        progress={"phase": PROGRESS_PHASES[phase], "done": total // 3, "total": total},
    )


def _end(operation: Operation, state: str = "", **said: str) -> None:
    """The agent's result: by default it reached its target."""
    endpoint = Endpoint.objects.get(pk=operation.endpoint_id)
    sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=endpoint,
        lease_token=operation.lease_token or uuid.uuid4(),
        outcome="failed" if said else "succeeded",
        seq=endpoint.report_seq + 1,
        state=state or operation.target_state_id,
        **said,
    )


def _brought(operation: Operation) -> list[failures.Package]:
    """The packages that the operation installs, in the version that it brings."""
    changes = difference.compare(states.load(operation.base_state), states.load(operation.target_state))
    brought = [change.after for change in changes if change.after and change.kind != ChangeKind.REASON]
    return [(package.name, package.version) for package in brought]


def _report(endpoint: Endpoint, state: str, repositories: Iterable[ReportedRepository]) -> None:
    endpoint = Endpoint.objects.with_target().get(pk=endpoint.pk)
    endpoint_manager.check_in(
        endpoint=endpoint,
        seq=endpoint.report_seq + 1,
        state=state,
        repositories=tuple(repositories),
        holds=endpoint.holds,
        agent_version=AGENT,
        examination=endpoint.examination or [],
    )


def _repositories(endpoint: Endpoint) -> list[ReportedRepository]:
    rows = EndpointRepository.objects.filter(endpoint=endpoint)
    return [ReportedRepository(name=one.name, digest=one.content_id, mirrors=tuple(one.mirrors)) for one in rows]


def _codes_and_tokens(cast: _Cast) -> None:
    endpoint_manager.create_enrolment_code(actor=ADA, uses=10, valid_for=timedelta(days=30))
    tokens.create_api_token(name="grafana", role="viewer", actor=ADA)


def _lost(cast: _Cast) -> None:
    """An operation whose machine didn't come before the deadline of a day."""
    for endpoint in cast.some("web", Fare.SWITCHED_OFF, 1) or cast.some("workstations", Fare.SWITCHED_OFF, 1):
        operation = _revert(endpoint, GRACE)
        past.move(operation.deadline - operation.created + timedelta(hours=1))
        leases.expire_leases()


def _revert(endpoint: Endpoint, author: str) -> Operation:
    return sync_coordinator.create_operation(endpoint=endpoint, kind="revert", actor=author)[0]


def _reverted(cast: _Cast) -> None:
    """A machine whose last sync was reverted: automatic sync rests there until there is a new target."""
    for endpoint in [*cast.some("build", Fare.FOLLOWED, 1), *cast.some("web", Fare.FOLLOWED, 1)]:
        _end(_begin(endpoint, author=LINUS, kind="revert"))


def _failed(cast: _Cast) -> None:
    """No mirror had the packages, so nothing was changed."""
    for endpoint in cast.some("web", Fare.STAYED, 1) or cast.some("web", Fare.UPGRADED, 1):
        operation = _begin(endpoint, author=ADA, phase="leased")
        _end(operation, operation.base_state_id, **failures.unavailable(_brought(operation)))


def _cancelled(cast: _Cast) -> None:
    for endpoint in cast.some("web", Fare.ADDED, 1) or cast.some("web", Fare.STAYED, 1):
        operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor=ADA)
        sync_coordinator.cancel(operation=operation, actor=LINUS)


def _decided_by_a_report(cast: _Cast) -> None:
    """The agent fell silent while pacman was running. Its next report decided the result."""
    for endpoint in cast.some("laptops", Fare.STAYED, 1) or cast.some("build", Fare.STAYED, 1):
        operation = _begin(endpoint, author=GRACE)
        past.move(timedelta(minutes=15))
        _report(endpoint, operation.target_state_id, _repositories(endpoint))


def _conflicting_files(cast: _Cast) -> None:
    """pacman refused, because a file was in the way."""
    for endpoint in cast.some("kiosk", Fare.STAYED, 1) or cast.some("kiosk", Fare.UPGRADED, 1):
        operation = _begin(endpoint, author=f"{audit.POLICY}kiosk")
        _end(operation, operation.base_state_id, **failures.file_conflict(_brought(operation), like="gnome-shell"))


def _locked_out(cast: _Cast) -> None:
    for endpoint in cast.some("laptops", Fare.SWITCHED_OFF, 1):
        endpoint_manager.revoke_token(endpoint=endpoint, actor=ADA)


def _canary(cast: _Cast) -> None:
    """The canaries get today's packages, and all of them follow."""
    pool = Pool.objects.filter(name="canary").first()
    source = next((one for one in cast.machines if one.pool == "canary" and one.name.endswith("001")), None)
    if pool is None or source is None:
        return
    endpoint = Endpoint.objects.with_target().get(name=source.name)
    state, _ = states.save(source.packages_on(0))
    _report(endpoint, state.digest, Repositories().on(0))
    pool_manager.set_target(pool=pool, endpoint=endpoint, actor=GRACE, comment="Arch of today")
    past.move(timedelta(minutes=20))
    for follower in cast.some("canary", Fare.FOLLOWED, 20):
        _end(_begin(follower, author=f"{audit.POLICY}canary"))


def _rollout(cast: _Cast) -> None:
    """The target of the canaries is promoted to the workstations, and the first of them have it."""
    pools = {pool.name: pool for pool in Pool.objects.filter(name__in=("canary", "workstations"))}
    if len(pools) < 2 or pools["canary"].target is None:
        return
    pool_manager.promote(
        pool=pools["workstations"], source=pools["canary"], actor=GRACE, comment="A quiet night on canary"
    )
    past.move(timedelta(minutes=4))
    for endpoint in cast.some("workstations", Fare.FOLLOWED, 8):
        operation = _begin(endpoint, author=f"{audit.POLICY}workstations")
        past.move(timedelta(seconds=20))
        _end(operation)


def _update_last_seen(cast: _Cast) -> None:
    """The machines that aren't away have reported just now, whatever time has passed."""
    away = [one.name for one in cast.machines if one.fare in (Fare.SWITCHED_OFF, Fare.SILENT)]
    there = Endpoint.objects.exclude(name__in=away).filter(token_hash__isnull=False)
    there.update(last_seen=clock.moved(-timedelta(seconds=5)))


def _running_now(cast: _Cast) -> None:
    """Running now: one operation downloads, one runs pacman, and one is queued for a machine that is off."""
    workstations = cast.some("workstations", Fare.FOLLOWED, 2)
    for endpoint, phase in zip(workstations, ("leased", "applying"), strict=False):
        _begin(endpoint, author=f"{audit.POLICY}workstations", phase=phase)
    for endpoint in cast.some("workstations", Fare.SWITCHED_OFF, 1):
        sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor=ADA)
