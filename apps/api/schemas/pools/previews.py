"""What a target would do to the machines of a pool, and what its excluded packages match, in the API."""

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, Field

from apps.api.requests.fields import Digest
from apps.api.schemas.operations import Plan
from apps.fleet import difference
from apps.fleet.exclusions import Match
from apps.fleet.forecast import Effect, Forecast
from apps.fleet.models import Pool
from apps.fleet.proposed import Proposed

SHOWN = 10


class CountedName(BaseModel):
    """A package, and how many endpoints it concerns."""

    name: str
    endpoints: int


class EffectOut(BaseModel):
    """The endpoints with one effect: how many, the first ten by name, and the ten most frequent packages concerned."""

    effect: Effect
    endpoints: int
    names: list[str]
    packages: list[CountedName]
    more_packages: int = Field(description="How many more packages there are.")


class NamesOut(BaseModel):
    """Endpoints: how many, and the first ten by name."""

    endpoints: int
    names: list[str]


class PreviewOut(BaseModel):
    """What each endpoint of the pool would get, by its last report. An endpoint can have several effects."""

    pool: str
    of: str = Field(description="What would be the target, as a reference.")
    digest: Digest = Field(description="That of the revision, or the one that it would get: for `expected_digest`.")
    endpoints: int = Field(description="How many are in the pool.")
    changing: int
    effects: list[EffectOut] = Field(description="Those that there are.")
    cancelled_syncs: NamesOut = Field(
        description="Queued syncs to other targets that are cancelled when the pool goes back to it; else none."
    )
    staying_syncs: NamesOut = Field(
        description="Queued syncs to other targets that stay when it is the target: what people asked for, or is begun."
    )


class PreviewedOut(BaseModel):
    """One endpoint; `changes` is null if it wasn't compared."""

    name: str
    changes: Plan | None


def preview_out(pool: Pool, what: Proposed, found: Forecast) -> PreviewOut:
    return PreviewOut(
        pool=pool.name,
        of=what.of,
        digest=what.digest,
        endpoints=found.total,
        changing=found.count(Effect.CHANGES),
        effects=[_effect(found, effect) for effect in Effect if found.machines[effect]],
        cancelled_syncs=_names(found.left.cancelled),
        staying_syncs=_names(found.left.staying),
    )


def _names(names: list[str]) -> NamesOut:
    return NamesOut(endpoints=len(names), names=names[:SHOWN])


def _effect(found: Forecast, effect: Effect) -> EffectOut:
    packages = _counted(found.packages[effect].items())
    return EffectOut(
        effect=effect,
        endpoints=found.count(effect),
        names=found.machines[effect][:SHOWN],
        packages=packages[:SHOWN],
        more_packages=max(0, len(packages) - SHOWN),
    )


def _counted(pairs: Iterable[tuple[str, int]]) -> list[CountedName]:
    return [CountedName(name=name, endpoints=count) for name, count in sorted(pairs, key=lambda one: (-one[1], one[0]))]


def previewed_out(found: Forecast, name: str) -> PreviewedOut:
    counts = found.changes.get(name)
    changes = None if counts is None else Plan(**difference.count_kinds(Counter(counts)))
    return PreviewedOut(name=name, changes=changes)


class ExclusionOut(BaseModel):
    """What one pattern matches now."""

    pattern: str
    in_target: list[str] = Field(description="Names that the current target has; no sync touches them.")
    left_out: list[str] = Field(description="Names that the current target leaves out.")
    on_endpoints: list[CountedName] = Field(description="Names that endpoints of the pool have, with how many do.")


class ExclusionsOut(BaseModel):
    items: list[ExclusionOut]


def exclusion_out(match: Match) -> ExclusionOut:
    return ExclusionOut(
        pattern=match.pattern,
        in_target=match.managed,
        left_out=match.left_out,
        on_endpoints=_counted(match.machines.items()),
    )
