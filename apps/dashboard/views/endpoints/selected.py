"""Actions on many endpoints: those that were ticked in the list, or all that its filter found.

It must not carry an action out itself: apps.fleet.bulk_actions does.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.presentation import bulk_action_texts
from apps.dashboard.presentation.endpoint_rows import rows
from apps.dashboard.presentation.forecast_tables import effect_summary
from apps.dashboard.presentation.name_lists import NameList, shorten
from apps.dashboard.requests.action_responses import attempt
from apps.dashboard.requests.endpoint_filter import endpoints_found
from apps.dashboard.requests.forms import INCOMPLETE
from apps.dashboard.requests.list_query import ListQuery
from apps.dashboard.requests.permissions import actor, operator
from apps.fleet import bulk_actions, forecast_many
from apps.fleet.bulk_actions import MAX_ENDPOINTS, Action, BatchItem
from apps.fleet.exceptions import TargetChanged
from apps.fleet.filters import IN_NO_POOL
from apps.fleet.models import Endpoint, Pool
from apps.fleet.names import NAME_MAX_LENGTH
from apps.fleet.status_badges import Badge

# How many machines are listed with the changes that a sync would make.
LISTED = 50
REASONS_SHOWN = 5
NOTHING_SELECTED = "Nothing was selected: tick machines in the list first."


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def ask_about(request: HttpRequest) -> HttpResponse:
    """POST shows what would happen to which machines, and which are left out and why. GET leads to the list."""
    if request.method != "POST":
        return _to_list(request)
    asked = _action_and_pool(request)
    if asked is None:
        return _to_list(request)
    return _confirmation(request, *asked, _chosen(request))


def _confirmation(request: HttpRequest, action: Action, pool: Pool | None, endpoints: list[Endpoint]) -> HttpResponse:
    cases = bulk_actions.plan(action, endpoints, pool=pool)
    possible = [case for case in cases if not case.code]
    now = possible[:MAX_ENDPOINTS]
    if not cases:
        messages.error(request, NOTHING_SELECTED)
        return _to_list(request)
    listed = Endpoint.objects.select_related("pool").filter(name__in=[case.endpoint for case in now[:LISTED]])
    context: dict[str, Any] = {
        "section": "endpoints",
        "action": action.value,
        "pool": pool.name if pool else IN_NO_POOL,
        **bulk_action_texts.confirmation_texts(action, len(now), pool),
        "danger": action == Action.FORGET,
        "total": len(cases),
        "now": now,
        "later": len(possible) - len(now),
        "names": " ".join(case.endpoint for case in now),
        "expected": " ".join(case.expected for case in now),
        "effects": _effects(now) if action == Action.SYNC else [],
        "left_out": _by_reason(case for case in cases if case.code),
        "rows": rows(listed.order_by("name")),
        "unlisted": max(0, len(now) - LISTED),
        "list_query": _list_query(request),
    }
    return render(request, "pacsync/endpoints/selected.html", context)


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def carry_out(request: HttpRequest) -> HttpResponse:
    """POST carries the action out on the machines that were shown, and says on how many, and which were left out.

    Where a target is no longer the one that was shown, it asks again. GET leads to the list.
    """
    if request.method != "POST":
        return _to_list(request)
    asked = _action_and_pool(request)
    if asked is None:
        return _to_list(request)
    action, pool = asked
    names = request.POST.get("names", "").replace("\0", "").split()
    if not names:
        messages.error(request, NOTHING_SELECTED)
        return _to_list(request)
    expected = request.POST.get("shown", "").split() if action in (Action.SYNC, Action.CANCEL) else None
    if expected is not None and len(expected) != len(names):
        messages.error(request, INCOMPLETE)
        return _confirmation(request, action, pool, bulk_actions.find(names[:MAX_ENDPOINTS]))
    cases = attempt(
        request, lambda: bulk_actions.carry_out(action, names, actor=actor(request), pool=pool, expected=expected)
    )
    if cases is None:
        return _to_list(request)
    _add_messages(request, action, pool, cases)
    changed = [case.endpoint for case in cases if case.code == TargetChanged.code]
    return _confirmation(request, action, pool, bulk_actions.find(changed)) if changed else _to_list(request)


def _add_messages(request: HttpRequest, action: Action, pool: Pool | None, cases: list[BatchItem]) -> None:
    """Say on how many machines the action was carried out, and which were left out and why."""
    done = sum(not case.code for case in cases)
    if done:
        messages.success(request, bulk_action_texts.done(action, done, pool))
    reasons = _by_reason(case for case in cases if case.code)
    for reason, names in reasons[:REASONS_SHOWN]:
        messages.warning(request, f"Left out: {names}. {reason}{'' if reason.endswith('.') else '.'}")
    if len(reasons) > REASONS_SHOWN:
        rest = sum(len(names.shown) + names.more for _, names in reasons[REASONS_SHOWN:])
        messages.warning(request, f"Left out: {rest} more, for other reasons.")


def _effects(cases: list[BatchItem]) -> list[tuple[Badge, int]]:
    return effect_summary(forecast_many.effects([case.endpoint for case in cases]))


def _action_and_pool(request: HttpRequest) -> tuple[Action, Pool | None] | None:
    """The action, and the pool of a move. None, with a message, where they make no sense."""
    name, where = request.POST.get("action", ""), request.POST.get("pool", "").replace("\0", "")
    if name not in list(Action):
        messages.error(request, "There is no such action.")
        return None
    action = Action(name)
    if action != Action.MOVE or where == IN_NO_POOL:
        return action, None
    pool = Pool.objects.select_related("target").filter(name=where).first()
    if pool is None:
        shown = where[:NAME_MAX_LENGTH]
        messages.error(request, f"There is no pool {shown}." if shown else "Choose the pool to move them to.")
        return None
    return action, pool


def _chosen(request: HttpRequest) -> list[Endpoint]:
    """The ticked endpoints by name, or all that the list's filter finds."""
    if request.POST.get("all"):
        return endpoints_found(ListQuery(request, QueryDict(request.POST.get("words", ""))), *bulk_actions.FIELDS)
    ticked = {name.replace("\0", "") for name in request.POST.getlist("endpoint")}
    return bulk_actions.find(sorted(ticked))


def _by_reason(cases: Iterable[BatchItem]) -> list[tuple[str, NameList]]:
    """The names of the machines by the reason why they are left out, the most frequent reason first."""
    found: dict[str, list[str]] = {}
    for case in cases:
        found.setdefault(case.detail.removesuffix("."), []).append(case.endpoint)
    return [(reason, shorten(names)) for reason, names in sorted(found.items(), key=lambda one: -len(one[1]))]


def _list_query(request: HttpRequest) -> str:
    """The query string of the list that the machines were chosen in."""
    return QueryDict(request.POST.get("words", "")).urlencode()


def _to_list(request: HttpRequest) -> HttpResponse:
    query = _list_query(request)
    return redirect(f"{reverse('endpoints')}?{query}" if query else reverse("endpoints"))
