"""`manage.py analysis POOL`: what the pool's endpoints could install, and where they disagree."""

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandParser

from apps.api.management.console import clear_errors, pool_named
from apps.api.schemas.analysis import AnalysisOut
from apps.fleet import analysis
from apps.fleet.plural import counted
from apps.lifecycle.management.output import TellingCommand

SHOWN = 10


class Command(TellingCommand):
    help = "Compare the repositories that the endpoints of a pool reported."
    example = "web"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("pool", metavar="POOL")

    def handle(self, *args: Any, pool: str, **options: Any) -> None:
        with clear_errors():
            seen = AnalysisOut.model_validate(analysis.analyse(pool=pool_named(pool))).model_dump(mode="json")
        self.tell(options, seen, lines(seen))


def lines(seen: dict[str, Any]) -> Iterator[str]:
    """The analysis for people: counts, and at most ten names of each kind."""
    reported, common = len(seen["endpoints"]), len(seen["common"])
    yield (
        f"{counted(reported, 'endpoint')} of {seen['pool']} {_have(reported)} reported repositories; not yet: "
        f"{names(seen['unreported'])}"
    )
    yield f"{counted(common, 'package')} {'is' if common == 1 else 'are'} offered to all of them."
    yield f"In different versions: {names([one['name'] for one in seen['conflicts']])}"
    yield f"Left out of every sync by the pool: {names(seen['excluded'])}"
    if seen["target"] is None:
        yield "The pool has no target yet."
    complete = 0
    for one in seen["availability"]:
        if one["other"] or one["missing"]:
            yield (
                f"The repositories of {one['endpoint']} have {counted(one['exact'], 'package')} of target "
                f"#{seen['target']} in exactly that version; in another version: {names(one['other'])}; "
                f"not at all: {names(one['missing'])}"
            )
        else:
            complete += 1
    if complete:
        yield f"The repositories of {counted(complete, 'endpoint')} have all of target #{seen['target']}."


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def names(found: list[str]) -> str:
    """At most ten names, `and N more`."""
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return (", ".join(found[:SHOWN]) + more) or "none"
