"""`manage.py vulnerabilities`: which machines known vulnerabilities concern, and fetching the list by hand."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from apps.api.management.console import clear_errors, endpoint_named, pool_named
from apps.api.requests.vulnerability_selection import selection_of
from apps.api.schemas.vulnerabilities import (
    AdvisoryOut,
    AffectedEndpointOut,
    VulnerabilitiesOut,
    affected_endpoint_out,
    vulnerabilities_out,
)
from apps.fleet.exceptions import FeatureDisabled
from apps.fleet.package_questions import UNASSIGNED
from apps.fleet.plural import counted, listed
from apps.lifecycle.ages import ago
from apps.lifecycle.management.output import ExitCode, TellingCommand, table
from apps.vulnerabilities import comparison, fetching, selection, tracker_list
from apps.vulnerabilities.exceptions import ListRefused
from apps.vulnerabilities.selection import Selection
from apps.vulnerabilities.severity import WORDS

SHOWN = 10
COMPARE_SECONDS = 120.0
FOUND, NO_ANSWER, OFF = 1, 2, 3
HEADER = ("ADVISORY", "SEVERITY", "ENDPOINTS", "FIXED IN", "PACKAGES", "ISSUES")


class Command(TellingCommand):
    help = (
        "Show which machines have packages with known vulnerabilities, by the list of the Arch security tracker, and "
        "how old the list is. Exit code 0: no machine; 1: some; 2: there is no answer, or machines aren't compared "
        "yet; 3: the feature is off (SECURITY_TRACKER_URL)."
    )
    example = "--pool web --severity high"
    failure = NO_ANSWER

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--json", action="store_const", const="json", dest="format", help="short for --format json")
        parser.add_argument("--endpoint", metavar="NAME", help="only this machine")
        parser.add_argument("--pool", metavar="POOL", help=f"only machines of this pool; {UNASSIGNED}: of none")
        parser.add_argument("--severity", choices=WORDS, help="only advisories of this severity or a worse one")
        source = parser.add_mutually_exclusive_group()
        source.add_argument("--fetch", action="store_true", help="fetch the list now, from SECURITY_TRACKER_URL")
        source.add_argument("--file", metavar="PATH", help="take the list in this file now")
        parser.add_argument(
            "--force", action="store_true", help="take even a list with less than half as many entries as before"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with clear_errors():
            chosen = _selection(options)
            if options["force"] and not options["fetch"] and options["file"] is None:
                raise CommandError("--force is for --fetch and --file: name one of them.")
            if options["fetch"] or options["file"] is not None:
                _get(options)
            found = vulnerabilities_out(chosen)
            affected = [affected_endpoint_out(one) for one in selection.listed_endpoints(chosen).order_by("name")]
        document = found.model_dump(mode="json") | {"affected": [one.model_dump(mode="json") for one in affected]}
        self.tell(options, document, _lines(found, affected, options["severity"]))
        if affected:
            raise ExitCode(FOUND)
        if found.list.as_of is None or found.endpoints.not_compared or not _compared(found):
            raise ExitCode(NO_ANSWER)


def _compared(found: VulnerabilitiesOut) -> int:
    """How many endpoints are compared with the current list: of the others nothing is known."""
    counts: dict[str, int] = found.endpoints.model_dump()
    return sum(counts.values()) - found.endpoints.not_compared - found.endpoints.unreported


def _selection(options: dict[str, Any]) -> Selection:
    """Raises CommandError."""
    asked = {name: options[name] for name in ("severity", "pool", "endpoint")}
    try:
        return selection_of(**asked, pool_named=pool_named, endpoint_named=endpoint_named)
    except FeatureDisabled as refusal:
        raise CommandError(str(refusal), returncode=OFF) from refusal


def _get(options: dict[str, Any]) -> None:
    """Fetch or load the list, and compare everything with it."""
    try:
        if options["fetch"]:
            fetching.fetch_now(may_shrink=options["force"])
        else:
            fetching.load_file(os.path.abspath(options["file"]), may_shrink=options["force"])
    except ListRefused as refusal:
        stays = "The list of before stays." if tracker_list.current().generation else "There is no list yet."
        force = " If that is right, use --force." if refusal.code == "list_shrunk" else ""
        raise CommandError(f"{refusal} ({refusal.code}) {stays}{force}") from refusal
    comparison.compare_all(COMPARE_SECONDS)


def _lines(found: VulnerabilitiesOut, affected: Sequence[AffectedEndpointOut], severity: str | None) -> Iterator[str]:
    """The answer, in lines for people. `severity`: the least one that was asked for."""
    yield from _about_list(found)
    counts = found.endpoints.model_dump()
    parts = [f"{number:,} {word.replace('_', ' ')}" for word, number in counts.items() if number]
    yield f"{counted(sum(counts.values()), 'endpoint')} by the worst severity: {', '.join(parts) or 'none'}."
    if found.endpoints.not_compared:
        yield f"Nothing is known yet about those that are not compared ({found.endpoints.not_compared:,})."
    if not found.items:
        about = f" of severity {severity} or worse" if severity else ""
        known = found.list.as_of is not None and _compared(found)
        yield f"No advisory{about} concerns an installed package." if known else "Nothing is known: none is compared."
        return
    for word in WORDS:
        if names := [one.name for one in affected if one.severity == word]:
            yield f"{word}: {listed(names, SHOWN)}"
    yield ""
    yield from table(HEADER, [_row(one) for one in found.items[:SHOWN]])
    if len(found.items) > SHOWN:
        yield f"and {counted(len(found.items) - SHOWN, 'more advisory', 'more advisories')} (--json has all)"


def _about_list(found: VulnerabilitiesOut) -> Iterator[str]:
    known, now = found.list, timezone.now()
    if known.as_of is None:
        yield "There is no list yet. The server fetches it; --fetch does so now."
    else:
        count = counted(known.advisories, "advisory", "advisories")
        yield f"The list is of {ago(known.as_of, now)}: {count}, from {known.source}."
    if known.failure is not None:
        yield f"The last attempt, {ago(known.failure.at, now)}, failed: {known.failure.detail} ({known.failure.code})"


def _row(one: AdvisoryOut) -> tuple[object, ...]:
    packages = [f"{package.name} {_versions(package.versions)}" for package in one.packages]
    return one.name, one.severity, f"{one.endpoints:,}", one.fixed, listed(packages), listed(one.issues)


def _versions(found: Sequence[str]) -> str:
    """The oldest three, and … if there are more."""
    return " ".join([*found[:3], *(["…"] if len(found) > 3 else [])])
