"""What a list's address asks for: the same words as the API's. It must not know what the lists show.

A page is no program: what makes no sense is left out, and a notice says so.
"""

from collections.abc import Collection
from datetime import datetime

from django.http import HttpRequest, QueryDict

from apps.fleet import moments, renamed
from apps.fleet.exceptions import Invalid
from apps.fleet.filters import IN_NO_POOL
from apps.fleet.models import Endpoint, Pool

_LENGTH = 200


class ListQuery:
    """The words of a request's query. `used` are those that make sense, `problems` sentences about the others."""

    def __init__(self, request: HttpRequest, given: QueryDict | None = None) -> None:
        """`given` are the words where they aren't those of the address."""
        self._given = request.GET if given is None else given
        self.problems: list[str] = []
        self.used: dict[str, str] = {}

    def text(self, name: str) -> str:
        """The word without what no database takes; empty without one."""
        value = self._given.get(name, "").replace("\0", "").strip()[:_LENGTH]
        if value:
            self.used[name] = value
        return value

    def choice(self, name: str, known: Collection[str], default: str = "") -> str:
        """One of these words."""
        value = self.text(name)
        if not value or value in known:
            return value or default
        self._leave_out(name, f"{name}: there is no {value}.")
        return default

    def pool(self) -> str:
        """The name of a pool, `-` for no pool; the current name for a former one. One query, three for a former one."""
        value = self.text("pool")
        if not value or value == IN_NO_POOL or Pool.objects.filter(name=value).exists():
            return value
        present = renamed.present_name(value)
        if present is None:
            self._leave_out("pool", f"pool: there is no pool {value}.")
            return ""
        self.used["pool"] = present
        return present

    def endpoint(self) -> str:
        """The name of an endpoint. One query."""
        value = self.text("endpoint")
        if not value or Endpoint.objects.filter(name=value).exists():
            return value
        self._leave_out("endpoint", f"endpoint: there is no endpoint {value}.")
        return ""

    def moment(self, name: str) -> datetime | None:
        """A date or a time; UTC without a zone."""
        value = self.text(name)
        try:
            return moments.parse(value, field=name) if value else None
        except Invalid as refusal:
            self._leave_out(name, str(refusal))
            return None

    def _leave_out(self, name: str, why: str) -> None:
        del self.used[name]
        self.problems.append(why)

    @property
    def filtered(self) -> bool:
        """Whether anything but the order was asked for."""
        return bool(self.used.keys() - {"sort"})

    def query(self, **instead: str) -> str:
        """All that makes sense of it, for links to the same list in another form; some words `instead` of its own."""
        words = QueryDict(mutable=True)
        words.update(self.used | instead)
        return words.urlencode()
