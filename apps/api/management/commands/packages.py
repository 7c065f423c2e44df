"""`manage.py packages NAME`: which versions of a package are in the fleet, and who has which."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from apps.api.management.console import clear_errors, pool_named
from apps.fleet import package_questions
from apps.fleet.package_questions import UNASSIGNED, EndpointVersion, FleetVersions, Question
from apps.fleet.plural import counted
from apps.lifecycle.management.output import TellingCommand, table


class Command(TellingCommand):
    help = (
        "Without options: the versions of a package that are in the fleet, newest first, by pool. With an option: the "
        "endpoints that match it. Versions are compared in pacman's order."
    )
    example = "openssl --older-than 3.4.0 --pool web"

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Replace Django's own --version, which nobody needs here, with ours."""
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME", help="the package's name, as pacman has it")
        parser.add_argument("--older-than", metavar="VERSION", help="endpoints that have a version older than this one")
        parser.add_argument("--newer-than", metavar="VERSION", help="endpoints that have a version newer than this one")
        parser.add_argument(
            "--version", metavar="VERSION", help="endpoints that have this version; without a pkgrel: any build"
        )
        parser.add_argument("--missing", action="store_true", help="endpoints that have reported without the package")
        parser.add_argument("--pool", metavar="POOL", help=f"only endpoints of this pool; {UNASSIGNED}: of none")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        words = ("older_than", "newer_than", "version", "missing", "pool")
        question = Question(**{word: options[word] for word in words})
        with clear_errors():
            if question == Question():
                found = package_questions.in_fleet(name)
                self.tell(options, asdict(found), _versions(found))
            else:
                if question.pool not in (None, UNASSIGNED):
                    pool_named(str(question.pool))
                who = package_questions.endpoints(name, question)
                self.tell(options, _document(name, who), _endpoints(name, who))


def _versions(found: FleetVersions) -> list[str]:
    if not found.versions:
        return [f"No endpoint has {found.name}; {found.missing:,} reported without it.", *_unreported(found)]
    rows = [(one.version, f"{one.endpoints:,}", _pools(one.pools, one.unassigned)) for one in found.versions]
    lines = table(("VERSION", "ENDPOINTS", "POOLS"), rows)
    return [*lines, f"{counted(found.missing, 'endpoint')} reported without {found.name}.", *_unreported(found)]


def _unreported(found: FleetVersions) -> list[str]:
    have = "has" if found.unreported == 1 else "have"
    return [f"{counted(found.unreported, 'endpoint')} {have} never reported."] if found.unreported else []


def _pools(pools: dict[str, int], unassigned: int) -> str:
    named = [f"{name} {count:,}" for name, count in pools.items()]
    return ", ".join([*named, *([f"in no pool {unassigned:,}"] if unassigned else [])])


def _endpoints(name: str, found: Sequence[EndpointVersion]) -> list[str]:
    if not found:
        return [f"No endpoint matches for {name}."]
    return table(("ENDPOINT", "POOL", "VERSION"), [(one.name, one.pool, one.version) for one in found])


def _document(name: str, found: Iterable[EndpointVersion]) -> dict[str, object]:
    return {"name": name, "endpoints": [one._asdict() for one in found]}
