"""Which endpoints are asked about, and how many of them are affected how badly. It must not know single advisories.

Every answer takes a constant number of statements: an endpoint is joined with the row of its state. An endpoint whose
state isn't compared with the current list is `not_compared`, never `none`; one that never reported is `unreported`.
"""

from dataclasses import dataclass

from django.db.models import Case, Count, F, IntegerField, Q, QuerySet, Value, When

from apps.fleet.consistent_read import consistent_read
from apps.fleet.models import Endpoint, Pool
from apps.fleet.package_questions import UNASSIGNED

from . import tracker_list
from .models import TrackerList
from .severity import WORDS, WORST_FIRST, Severity

NOT_COMPARED, UNREPORTED = "not_compared", "unreported"
_LEVELS = {**{int(one): one.word for one in Severity}, -1: NOT_COMPARED, -2: UNREPORTED}
LEVELS = (*(one.word for one in WORST_FIRST), Severity.NONE.word, NOT_COMPARED, UNREPORTED)
"""The words that endpoints are counted by, worst first."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """All endpoints, or those of a pool (`-`: in none), or one; affected by an advisory at least this severe.

    `worst`, a word of LEVELS: only those whose worst advisory has exactly this severity, or that are compared and not
    affected, not compared, or unreported.
    """

    pool: str | None = None
    endpoint: str | None = None
    severity: Severity = Severity.UNKNOWN
    worst: str | None = None

    def endpoints(self) -> "QuerySet[Endpoint]":
        """Those of the pool or with the name, affected or not."""
        rows = Endpoint.objects.order_by()
        if self.pool is not None:
            rows = rows.filter(pool=None) if self.pool == UNASSIGNED else rows.filter(pool__name=self.pool)
        return rows if self.endpoint is None else rows.filter(name=self.endpoint)

    def affected(self, generation: int) -> "QuerySet[Endpoint]":
        """Those that are affected, by the list of this generation."""
        rows = self.endpoints().filter(
            state__vulnerabilities__generation=generation, state__vulnerabilities__worst__gte=self.severity
        )
        if self.worst is None:
            return rows
        return rows.filter(state__vulnerabilities__worst=WORDS[self.worst]) if self.worst in WORDS else rows.none()

    def listed(self, generation: int) -> "QuerySet[Endpoint]":
        """Those that are affected, or the others that `worst` asks for."""
        compared = Q(state__vulnerabilities__generation=generation)
        if self.worst == UNREPORTED:
            return self.endpoints().filter(state=None)
        if self.worst == NOT_COMPARED:
            return self.endpoints().filter(state__isnull=False).exclude(compared)
        if self.worst == Severity.NONE.word:
            return self.endpoints().filter(compared, state__vulnerabilities__worst=Severity.NONE)
        return self.affected(generation)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The list, and how many endpoints are affected how badly (the words of LEVELS)."""

    list: TrackerList
    endpoints: dict[str, int]

    def affected(self, severity: Severity = Severity.UNKNOWN) -> int:
        """How many have an advisory at least this severe."""
        return sum(self.endpoints[one.word] for one in WORST_FIRST if one >= severity)

    @property
    def is_known(self) -> bool:
        """Whether every endpoint that reported is compared with a list."""
        return self.list.generation > 0 and not self.endpoints[NOT_COMPARED]


@consistent_read()
def summary(selection: Selection | None = None) -> Summary:
    """Two statements. The selection's severity has no influence."""
    known = tracker_list.current()
    return Summary(list=known, endpoints=counts(selection or Selection(), known.generation))


def of_pool(pool: Pool) -> Summary:
    return summary(Selection(pool=pool.name))


def counts(selection: Selection, generation: int) -> dict[str, int]:
    """The endpoints by their worst severity, all words of LEVELS. One statement."""
    rows = selection.endpoints().annotate(level=_level(generation))
    found = rows.values_list("level").annotate(number=Count("pk"))
    by_word = {_LEVELS[level]: number for level, number in found}
    return {word: by_word.get(word, 0) for word in LEVELS}


def listed_endpoints(selection: Selection) -> "QuerySet[Endpoint]":
    """With what `level_of` needs, the number of advisories of each severity, and `pool`. One statement before.

    The numbers mean nothing for an endpoint that isn't compared.
    """
    generation = tracker_list.current().generation
    columns = {one.word: F(f"state__vulnerabilities__{one.word}") for one in WORST_FIRST}
    return selection.listed(generation).select_related("pool").annotate(level=_level(generation), **columns)


def level_of(endpoint: Endpoint) -> str:
    """The word of LEVELS for an endpoint of `listed_endpoints`."""
    return _LEVELS[vars(endpoint)["level"]]


def _level(generation: int) -> Case:
    return Case(
        When(state=None, then=Value(-2)),
        When(state__vulnerabilities__generation=generation, then=F("state__vulnerabilities__worst")),
        default=Value(-1),
        output_field=IntegerField(),
    )
