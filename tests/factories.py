"""Small makers of rows for tests. Each takes what the test is about and fills in the rest."""

import hashlib
import itertools
import uuid
from collections.abc import Sequence
from typing import Any

from django.contrib.auth.models import User

from apps.fleet import endpoint_manager, pool_manager, roles, states, sync_coordinator
from apps.fleet.alpm import repository as repository_text
from apps.fleet.alpm.repository import OfferedPackage
from apps.fleet.alpm.state import DEPENDENCY, EXPLICIT, InstalledPackage
from apps.fleet.endpoint_manager import CheckIn, ReportedRepository, SeenRevision
from apps.fleet.examination import ExaminationProblem
from apps.fleet.models import Endpoint, Operation, Pool, RepositoryContent, Role, State, TargetRevision
from apps.fleet.tokens import hash_of

_numbers = itertools.count(1)  # for names: six digits, so that none is a name that a test gives itself (`m43`)
BASIC = ("filesys 1-1", "libfoo 1.0-1 dependency", "app 1.0-1")


def package(text: str, arch: str = "x86_64") -> InstalledPackage:
    """`name version [arch] [dependency]` as an installed package."""
    name, version, *rest = text.split()
    reason = DEPENDENCY if DEPENDENCY in rest else EXPLICIT
    arches = [word for word in rest if word not in (DEPENDENCY, EXPLICIT)]
    return InstalledPackage(name, version, arches[0] if arches else arch, reason)


def packages(*texts: str) -> list[InstalledPackage]:
    return [package(text) for text in texts]


def state(*texts: str) -> State:
    """The state of these packages (`name version [arch] [dependency]`), a few basic ones by default."""
    return states.save(packages(*(texts or BASIC)))[0]


def repository(*texts: str, build: str = "") -> RepositoryContent:
    """The content of a repository that offers these packages (`name version [arch]`); another build, other bytes."""
    text = repository_text.to_text(offered(line, build) for line in (texts or BASIC))
    return endpoint_manager.store_repository(digest=repository_text.digest_of(text), text=text)[0]


def offered(text: str, build: str = "") -> OfferedPackage:
    found = package(text)
    filename = f"{found.name}-{found.version}-{found.arch}.pkg.tar.zst"
    sha256 = hashlib.sha256(f"{filename}{build}".encode()).hexdigest()
    return OfferedPackage(found.name, found.version, found.arch, filename, sha256, 1000)


def account(name: str, role: Role | None, **fields: Any) -> User:
    """An account with this role, by its group."""
    made = User.objects.create_user(name, **fields)
    if role is not None:
        roles.give(user=made, role=role, actor="test")
    return made


def pool(name: str = "", **policy: Any) -> Pool:
    return pool_manager.create_pool(name=name or f"pool-{next(_numbers):06}", actor="test", **policy)


def endpoint(name: str = "", *, pool: Pool | None = None, token: str = "", arch: str = "x86_64") -> Endpoint:
    """An endpoint that never reported."""
    token = token or f"pse_{uuid.uuid4()}"
    return Endpoint.objects.create(
        name=name or f"m{next(_numbers):06}", pool=pool, arch=arch, token_hash=hash_of(token)
    )


def problem(code: str, *names: str) -> ExaminationProblem:
    """A finding of an endpoint about itself."""
    return {"code": code, "text": f"Something is wrong with {', '.join(names)}.", "names": list(names)}


def reported_repository(
    content: RepositoryContent, name: str = "core", mirrors: Sequence[str] = ("https://mirror.example/core/os/x86_64",)
) -> ReportedRepository:
    return ReportedRepository(name=name, digest=content.digest, mirrors=tuple(mirrors))


def report(
    endpoint: Endpoint,
    state: State,
    *repositories: ReportedRepository,
    holds: Sequence[str] = (),
    replaced: Sequence[str] = (),
    examination: Sequence[ExaminationProblem] | None = None,
    seq: int | None = None,
    seen: SeenRevision | None = None,
) -> CheckIn:
    """A check-in of the endpoint, with the next number; without repositories it reports one that offers all it has."""
    endpoint.refresh_from_db()
    if not repositories:
        lines = [f"{p.name} {p.version} {p.arch}" for p in states.load(state)]
        repositories = (reported_repository(repository(*lines)),)
    seen = endpoint_manager.check_in(
        endpoint=endpoint,
        seq=endpoint.report_seq + 1 if seq is None else seq,
        state=state.digest,
        repositories=repositories,
        holds=holds,
        replaced=replaced,
        examination=examination,
        agent_version="1.0.0",
        revision_seen=seen,
    )
    endpoint.refresh_from_db()
    return seen


def reporting_endpoint(name: str = "", *, pool: Pool | None = None, state: State, **options: Any) -> Endpoint:
    """An endpoint that has reported this state."""
    made = endpoint(name, pool=pool)
    assert report(made, state, **options).recorded
    return made


def target(pool: Pool, *texts: str) -> TargetRevision:
    """Make exactly these packages the pool's target, by an endpoint that has them."""
    source = reporting_endpoint(pool=pool, state=state(*texts))
    revision, _ = pool_manager.set_target(pool=pool, endpoint=source, actor="test", force=True)
    pool.refresh_from_db()
    return revision


def unlike_machines() -> Pool:
    """Pool `lab`, whose target #1 is `app 2-1` of `good`; `old` is behind, `new` ahead, `more` has `vim`, too."""
    lab = pool("lab")
    good = reporting_endpoint("good", pool=lab, state=state("app 2-1"))
    pool_manager.set_target(pool=lab, endpoint=good, actor="test")
    for name, texts in {"old": ["app 1-1"], "new": ["app 3-1"], "more": ["app 2-1", "vim 1-1"]}.items():
        reporting_endpoint(name, pool=lab, state=state(*texts))
    return lab


def queued(**policy: Any) -> Operation:
    """A queued sync of an endpoint from `app 1.0-1` to `app 2.0-1`, in a pool with this policy."""
    made = reporting_endpoint(pool=pool(**policy), state=state("app 1.0-1"))
    assert made.pool
    target(made.pool, "app 2.0-1")
    return sync_coordinator.create_operation(endpoint=made, kind="sync", actor="test")[0]


def leased(operation: Operation | None = None) -> Operation:
    operation = operation or queued()
    claim(operation)
    operation.refresh_from_db()
    return operation


def claim(operation: Operation, lease_token: uuid.UUID | None = None) -> sync_coordinator.Claim:
    return sync_coordinator.claim(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=lease_token or uuid.uuid4(),
        state=operation.base_state_id,
    )


def applying(operation: Operation | None = None) -> Operation:
    operation = leased(operation)
    assert operation.lease_token
    return sync_coordinator.heartbeat(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token,
        phase="applying",
    )


def finish(operation: Operation, state: State | None = None, outcome: str = "succeeded", code: str = "") -> Operation:
    """The result of an operation that has a lease; by default it reached its target."""
    assert operation.lease_token
    operation.endpoint.refresh_from_db()
    return sync_coordinator.finish(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=operation.lease_token,
        outcome=outcome,
        seq=operation.endpoint.report_seq + 1,
        state=state.digest if state else operation.target_state_id,
        code=code,
        message=f"It was {code}." if code else "",
    )


def synced(endpoint: Endpoint, kind: str = "sync") -> Operation:
    """A whole operation of the endpoint, from its creation to its success."""
    operation, _ = sync_coordinator.create_operation(endpoint=endpoint, kind=kind, actor="test")
    done = finish(applying(operation))
    endpoint.refresh_from_db()
    return done
