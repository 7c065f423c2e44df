"""The query parameters of a list's address, which are those of the API. It must not know what the lists show.

A page is for people: a parameter that makes no sense is ignored, and a notice says so.
"""

from collections.abc import Collection
from datetime import datetime

from django.http import HttpRequest, QueryDict

from apps.fleet import former_names, time_input
from apps.fleet.exceptions import Invalid
from apps.fleet.filters import IN_NO_POOL
from apps.fleet.models import Endpoint, Pool

_LENGTH = 200
_NAMED = 10
_AMOUNTS = frozenset(
    {"page", "advisories", "vulnerabilities", "operations", "history", "revisions", "conflicts", "machines", "changes"}
)
"""Parameters that say how much is shown, not of what."""


class ListQuery:
    """The parameters of one request. `used` lists those that make sense, `problems` says why others don't."""

    def __init__(self, request: HttpRequest, given: QueryDict | None = None) -> None:
        """`given` replaces the parameters of the address."""
        self._given = request.GET if given is None else given
        self._asked = set(_AMOUNTS)
        self._senseless: list[str] = []
        self.used: dict[str, str] = {}

    def text(self, name: str) -> str:
        """The value of a parameter, without null characters and spaces around it; empty if there is none."""
        self._asked.add(name)
        value = self._given.get(name, "").replace("\0", "").strip()[:_LENGTH]
        if value:
            self.used[name] = value
        return value

    def choice(self, name: str, known: Collection[str], default: str = "") -> str:
        """The value if it is one of `known`, otherwise the default."""
        value = self.text(name)
        if not value or value in known:
            return value or default
        self._leave_out(name, f"{name}: there is no {value}.")
        return default

    def pool(self) -> str:
        """The current name of the pool, or `-` for endpoints in no pool. One query; three for a former name."""
        value = self.text("pool")
        if not value or value == IN_NO_POOL or Pool.objects.filter(name=value).exists():
            return value
        current = former_names.current_name(value)
        if current is None:
            self._leave_out("pool", f"pool: there is no pool {value}.")
            return ""
        self.used["pool"] = current
        return current

    def endpoint(self) -> str:
        """The name of an endpoint that exists. One query."""
        value = self.text("endpoint")
        if not value or Endpoint.objects.filter(name=value).exists():
            return value
        self._leave_out("endpoint", f"endpoint: there is no endpoint {value}.")
        return ""

    def moment(self, name: str) -> datetime | None:
        """A date or a time, in UTC if it has no zone."""
        value = self.text(name)
        try:
            return time_input.parse(value, field=name) if value else None
        except Invalid as refusal:
            self._leave_out(name, str(refusal))
            return None

    def _leave_out(self, name: str, why: str) -> None:
        del self.used[name]
        self._senseless.append(why)

    @property
    def problems(self) -> list[str]:
        """Sentences for people: values that make no sense, and parameters that nobody has asked for by now."""
        unknown = sorted(self._given.keys() - self._asked)[:_NAMED]
        return [*self._senseless, *(f"{name[:_LENGTH]}: there is no such filter here." for name in unknown)]

    @property
    def filtered(self) -> bool:
        """Whether the list is filtered, not only sorted."""
        return bool(self.used.keys() - {"sort"})

    def query(self, **instead: str) -> str:
        """The used parameters as a query string, for links to the same list; those of `instead` replace its own."""
        parameters = QueryDict(mutable=True)
        parameters.update(self.used | instead)
        return parameters.urlencode()
