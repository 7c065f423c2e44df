"""What a list's address asks for: the same words as the API's. It must not know what the lists show.

A page is no program: what makes no sense is left out, and a notice says so.
"""

from collections.abc import Collection
from datetime import datetime

from django.http import HttpRequest, QueryDict

from apps.fleet import moments
from apps.fleet.exceptions import Invalid

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
        del self.used[name]
        self.problems.append(f"{name}: there is no {value}.")
        return default

    def moment(self, name: str) -> datetime | None:
        """A date or a time; UTC without a zone."""
        value = self.text(name)
        try:
            return moments.parse(value, field=name) if value else None
        except Invalid as refusal:
            del self.used[name]
            self.problems.append(str(refusal))
            return None

    @property
    def filtered(self) -> bool:
        """Whether anything but the order was asked for."""
        return bool(self.used.keys() - {"sort"})

    def query(self, **instead: str) -> str:
        """All that makes sense of it, for links to the same list in another form; some words `instead` of its own."""
        words = QueryDict(mutable=True)
        words.update(self.used | instead)
        return words.urlencode()
