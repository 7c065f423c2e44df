"""What an endpoint found when it examined itself as the source of a target, and what follows. It must not know HTTP.

The endpoint says what it found, in its check-ins; what a finding means is decided here. That keeps an honest machine
that is broken from becoming a target; it is no protection from a machine that lies (docs/security.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypedDict

from . import limits, text_input
from .after_sync import LEFT_TO_DO
from .exceptions import DatabasesUnreadable, Invalid, UnsoundSource
from .models import Endpoint
from .models.operations import FILES_DIFFER, HEALTH_CHECK_FAILED
from .reported_problem import Reported

UNREADABLE = "database_unreadable"
LOCKED = "database_locked"


class ExaminationProblem(TypedDict):
    """One finding: a stable code, a sentence for people, and the names of packages or repositories."""

    code: str
    text: str
    names: list[str]


class SourceVerdict(Enum):
    """What a finding means for a new target. A code that isn't known here comes from a newer agent, and warns."""

    WARNS = "warns"
    REFUSES = "refuses"
    REFUSES_UNLESS_FORCED = "refuses unless forced"
    SAYS_NOTHING = "says nothing about a target"


SOURCE_VERDICTS = {
    UNREADABLE: SourceVerdict.REFUSES,  # which packages are foreign isn't known, so it can't be forced
    "broken_entries": SourceVerdict.REFUSES,  # nor what is installed
    LOCKED: SourceVerdict.REFUSES_UNLESS_FORCED,  # a pacman may be half-way, or somebody keeps pacman away
    "pacman_unusable": SourceVerdict.REFUSES_UNLESS_FORCED,  # nobody has seen whether the packages fit together
    "broken_dependencies": SourceVerdict.REFUSES_UNLESS_FORCED,
    "half_upgraded": SourceVerdict.REFUSES_UNLESS_FORCED,
    HEALTH_CHECK_FAILED: SourceVerdict.REFUSES_UNLESS_FORCED,
    "foreign_dependencies": SourceVerdict.WARNS,
    "upgrades_pending": SourceVerdict.WARNS,
    "held_back": SourceVerdict.WARNS,
    FILES_DIFFER: SourceVerdict.WARNS,
    "modes_differ": SourceVerdict.WARNS,
    **dict.fromkeys(LEFT_TO_DO, SourceVerdict.SAYS_NOTHING),
}


@dataclass(frozen=True)
class Examination:
    """What the endpoint found last, sorted by what it means. All empty: sound, or never examined.

    `left_to_do` is what a sync left to do there, which says nothing about a target.
    """

    refusing: tuple[ExaminationProblem, ...] = ()
    forcible: tuple[ExaminationProblem, ...] = ()
    warnings: tuple[ExaminationProblem, ...] = ()
    left_to_do: tuple[ExaminationProblem, ...] = ()

    def against(self, *, force: bool) -> tuple[ExaminationProblem, ...]:
        """What refuses a target from this endpoint."""
        return self.refusing if force else (*self.refusing, *self.forcible)


def checked(problems: Sequence[ExaminationProblem]) -> list[ExaminationProblem]:
    """The problems if each is one that can be kept. Raises Invalid."""
    if len(problems) > limits.PROBLEMS:
        raise Invalid(f"examination.problems: more than {limits.PROBLEMS}.", field="examination.problems")
    for problem in problems:
        text_input.line(problem["code"], field="examination.problems.code", maximum=limits.PROBLEM_CODE_LENGTH)
        text_input.line(problem["text"], field="examination.problems.text", maximum=limits.PROBLEM_TEXT_LENGTH)
        if len(problem["names"]) > limits.PROBLEM_NAMES:
            raise Invalid(
                f"examination.problems.names: more than {limits.PROBLEM_NAMES}.", field="examination.problems.names"
            )
        for name in problem["names"]:
            text_input.line(name, field="examination.problems.names", maximum=limits.PACKAGE_NAME_LENGTH)
    return [ExaminationProblem(code=one["code"], text=one["text"], names=list(one["names"])) for one in problems]


def of(endpoint: Endpoint) -> Examination:
    """What the endpoint found last."""
    found: dict[SourceVerdict, list[ExaminationProblem]] = {verdict: [] for verdict in SourceVerdict}
    for problem in endpoint.examination or []:
        found[SOURCE_VERDICTS.get(problem["code"], SourceVerdict.WARNS)].append(problem)
    return Examination(
        refusing=tuple(found[SourceVerdict.REFUSES]),
        forcible=tuple(found[SourceVerdict.REFUSES_UNLESS_FORCED]),
        warnings=tuple(found[SourceVerdict.WARNS]),
        left_to_do=tuple(found[SourceVerdict.SAYS_NOTHING]),
    )


def check_source(endpoint: Endpoint, *, force: bool) -> None:
    """Raise UnsoundSource when the endpoint's own findings speak against a target made from it."""
    examination = of(endpoint)
    against = examination.against(force=force)
    if against:
        said = " ".join(problem["text"] for problem in against)
        remedy = "Put that right there, and let it report."
        if not examination.refusing:
            remedy = "Put that right there and let it report, or force it (`set-latest --force`; `force` in the API)."
        raise UnsoundSource(f"{endpoint.name} can't be the source of a target. {said} {remedy}", problems=list(against))


def files_differ(endpoint: Endpoint) -> bool:
    """Whether the endpoint said that files on its disk differ from its packages."""
    return any(problem["code"] == FILES_DIFFER for problem in endpoint.examination or [])


def is_unhealthy(endpoint: Endpoint) -> bool:
    """Whether the endpoint said that health commands of its own failed when they ran last."""
    return any(problem["code"] == HEALTH_CHECK_FAILED for problem in endpoint.examination or [])


def count_files_differ() -> int:
    """How many endpoints reported that files differ, whatever their status."""
    return Endpoint.objects.filter(Reported(FILES_DIFFER)).count()


def may_be_half_way(endpoint: Endpoint) -> bool:
    """Whether the endpoint said that its database is locked: then its report may be of a half-finished transaction."""
    return any(problem["code"] == LOCKED for problem in endpoint.examination or [])


def databases_unreadable(endpoint: Endpoint) -> bool:
    """Whether the endpoint said that it can't read its databases: which of its packages are foreign isn't known."""
    return any(problem["code"] == UNREADABLE for problem in endpoint.examination or [])


def check_databases(endpoint: Endpoint) -> None:
    """Raise DatabasesUnreadable while it isn't known which of the endpoint's packages are foreign."""
    for problem in endpoint.examination or []:
        if problem["code"] == UNREADABLE:
            then = "It can be synced once the machine can read its databases."
            raise DatabasesUnreadable(f"{problem['text']} {then}", names=problem["names"])
