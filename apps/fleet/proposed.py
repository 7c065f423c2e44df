"""Packages that a pool could get as its target, as a forecast needs them: of a revision, or of an endpoint.

It writes nothing. It must not know what they would do to anybody.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import QuerySet

from . import references, repositories, revisions, source_packages, states, target_files
from .exceptions import Invalid, NoTarget, NotFound
from .models import Endpoint, Pool, TargetRevision
from .revisions import Unmanaged
from .source_packages import Proposal

FORMS = "endpoint:NAME or revision:POOL/NUMBER"
Package = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """`values` has the packages, packed (`states`); `unrecorded` those whose file nobody recorded.

    `of` is the reference (`references`), `label` what people call it. `recorded` are the digests of the repositories of
    the source; `state` is the digest of exactly these packages, `revision` the key of the revision that it is and
    `pool` that of its pool, all None for an endpoint's packages. `digest` is that of the revision, or the one that a
    revision of it would get.
    """

    of: str
    label: str
    state: str | None
    digest: str
    values: frozenset[int]
    names: frozenset[str]
    arch: str
    unmanaged: frozenset[str]
    recorded: tuple[str, ...]
    unrecorded: frozenset[Package]
    revision: int | None
    pool: int | None = None


def of_revision(revision: TargetRevision) -> Proposed:
    """What the revision says. Raises StateTooLarge, ComparisonTooLong."""
    packages = states.load(revision.state)
    if revision.files_id:
        known = {file.package for file in target_files.load(revision).values()}
    else:  # of a release that recorded none: what its repositories offered, as far as they are kept
        digests = [one["digest"] for one in revision.repositories]
        known = _offered(digests, {package.name for package in packages})
    return Proposed(
        of=references.of_revision(revision.pool.name, revision.number),
        label=f"target #{revision.number} of {revision.pool.name}",
        state=revision.state_id,
        digest=revisions.digest(revision),
        values=frozenset(states.unpack(revision.state.packages)),
        names=frozenset(package.name for package in packages),
        arch=revision.state.arch,
        unmanaged=revisions.unmanaged_names(revision),
        recorded=tuple(one["digest"] for one in revision.repositories),
        unrecorded=frozenset(package[:3] for package in packages) - known,
        revision=revision.pk,
        pool=revision.pool_id,
    )


def of_endpoint(pool: Pool, endpoint: Endpoint, proposal: Proposal | None = None) -> Proposed:
    """What the endpoint's packages would be as the target of its pool; `proposal` if that was read already.

    Raises as `source_packages.propose`.
    """
    proposal = proposal or source_packages.propose(pool=pool, endpoint=endpoint)
    shared = set(proposal.packages)
    values = states.load_values(states.unpack(endpoint.state.packages)) if endpoint.state else {}
    return Proposed(
        of=references.of_endpoint(endpoint.name),
        label=f"the packages of {endpoint.name}",
        state=None,
        digest=proposal.digest,
        values=frozenset(value for value, package in values.items() if package in shared),
        names=frozenset(package.name for package in shared),
        arch=states.arch_of(proposal.packages),
        unmanaged=_names(proposal.unmanaged),
        recorded=tuple(one["digest"] for one in proposal.repositories),
        unrecorded=frozenset(package[:3] for package in shared) - {file.package for file in proposal.files},
        revision=None,
    )


def find(pool: Pool, text: str) -> Proposed:
    """What a reference names, for this pool; the pool's current target if it is empty.

    Raises Invalid (another form), NotFound, NoTarget, and as `of_revision` and `of_endpoint`.
    """
    if not text:
        if pool.target is None:
            raise NoTarget(f"The pool {pool.name} has no target yet.")
        return of_revision(_revisions().get(pk=pool.target.pk))
    kind, _, rest = text.partition(":")
    if kind not in ("endpoint", "revision") or not rest:
        raise Invalid(f"Name the packages as {FORMS}.", field="of")
    found = references.find(text)
    if kind == "revision":
        name, _, number = rest.partition("/")
        return of_revision(_revisions().get(pool__name=name, number=int(number)))
    endpoint = Endpoint.objects.select_related("state").filter(pool=pool, name=rest).first()
    if endpoint is None:
        raise NotFound(f"{found.label} is not in the pool {pool.name}.")
    return of_endpoint(pool, endpoint)


def _revisions() -> QuerySet[TargetRevision]:
    return TargetRevision.objects.select_related("state", "pool")


def _names(unmanaged: Iterable[Unmanaged]) -> frozenset[str]:
    return frozenset(one["name"] for one in unmanaged)


def _offered(digests: Iterable[str], names: set[str]) -> set[Package]:
    found = (one for digest in digests for one in repositories.offered(digest, names).values())
    return {(one.name, one.version, one.arch) for one in found}
