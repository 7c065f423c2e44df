"""The comparison of any two sets of packages, filtered by kind and name."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.presentation.package_changes import page_of_changes
from apps.dashboard.presentation.status_badges import CHANGE_BADGES
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.pagination import page_of
from apps.dashboard.requests.permissions import viewer
from apps.fleet import difference, references, states
from apps.fleet.exceptions import ComparisonTooLong, FleetError, StateTooLarge
from apps.fleet.references import Reference

PER_PAGE = 200


@viewer
@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    """From `from` to `to`, each endpoint:NAME, revision:POOL/NUMBER or state:DIGEST; `kind` and `q` filter."""
    query = ListQuery(request)
    asked = {side: query.text(side) for side in ("from", "to")}
    before, after, refusals = _sides(asked)
    kind, q = query.choice("kind", CHANGE_BADGES), query.text("q")
    context: dict[str, Any] = {
        "section": "endpoints",
        "asked": {"origin": asked["from"], "goal": asked["to"]},
        "refusals": refusals,
        "forms": references.FORMS,
        "kinds": CHANGE_BADGES,
        "query": query,
    }
    if before and after:
        changes = difference.compare(states.load(before.state), states.load(after.state))
        wanted = [one for one in changes if kind in ("", one.kind) and q in one.name]
        page = page_of(request, wanted, PER_PAGE)
        context |= {
            "before": before,
            "after": after,
            "equal": not changes,
            "page": page,
            "difference": page_of_changes(page, changes),
        }
    return render(request, "pacsync/packages/compare.html", context, status=422 if refusals else 200)


def _sides(asked: dict[str, str]) -> tuple[Reference | None, Reference | None, list[str]]:
    """What each side refers to, and for each side that refers to nothing, why."""
    found: list[Reference | None] = []
    refusals = []
    for side, text in asked.items():
        try:
            found.append(references.find(text) if text else None)
        except (StateTooLarge, ComparisonTooLong):
            raise
        except FleetError as refusal:
            found.append(None)
            refusals.append(f"{side.capitalize()}: {refusal}")
    return found[0], found[1], refusals
