"""Work on many endpoints: those that were ticked in a list, or all that its filter found. `many` does it."""

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard import many_words
from apps.dashboard.access import actor, staff
from apps.dashboard.answers import attempt
from apps.dashboard.endpoint_filter import found_by
from apps.dashboard.forecast_look import cut, told_briefly
from apps.dashboard.forms import INCOMPLETE
from apps.dashboard.list_query import ListQuery
from apps.dashboard.look import Look
from apps.dashboard.reading import rows
from apps.fleet import forecast_many, many
from apps.fleet.exceptions import TargetChanged
from apps.fleet.filters import IN_NO_POOL
from apps.fleet.many import MOST, Action, Case
from apps.fleet.models import Endpoint, Pool
from apps.fleet.names import NAME_MAX_LENGTH

# So many machines are listed one by one with what a sync changes on them.
LISTED = 50
REASONS_SHOWN = 5
NOTHING_SELECTED = "Nothing was selected: tick machines in the list first."


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def ask_about(request: HttpRequest) -> HttpResponse:
    """What would happen to whom, and who is left out and why. Nothing is changed yet. GET leads to the list."""
    if request.method != "POST":
        return _back(request)
    asked = _asked(request)
    if asked is None:
        return _back(request)
    return _ask(request, *asked, _chosen(request))


def _ask(request: HttpRequest, action: Action, pool: Pool | None, endpoints: list[Endpoint]) -> HttpResponse:
    cases = many.plan(action, endpoints, pool=pool)
    able = [case for case in cases if not case.code]
    now = able[:MOST]
    if not cases:
        messages.error(request, NOTHING_SELECTED)
        return _back(request)
    context: dict[str, Any] = {
        "section": "endpoints",
        "action": action.value,
        "pool": pool.name if pool else IN_NO_POOL,
        **many_words.asked(action, len(now), pool),
        "danger": action == Action.FORGET,
        "total": len(cases),
        "now": now,
        "later": len(able) - len(now),
        "names": " ".join(case.endpoint for case in now),
        "shown": " ".join(case.shown for case in now),
        "effects": _effects(now) if action == Action.SYNC else [],
        "left": _reasons(case for case in cases if case.code),
        "rows": rows(
            Endpoint.objects.select_related("pool")
            .filter(name__in=[case.endpoint for case in now[:LISTED]])
            .order_by("name")
        ),
        "unlisted": max(0, len(now) - LISTED),
        "words": _words(request),
    }
    return render(request, "pacsync/selected.html", context)


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def carry_out(request: HttpRequest) -> HttpResponse:
    """Do it with those that were shown, and say how many it was done with, and who was left out meanwhile.

    Where the target is another one by now, it asks again. GET leads to the list.
    """
    if request.method != "POST":
        return _back(request)
    asked = _asked(request)
    if asked is None:
        return _back(request)
    action, pool = asked
    names = request.POST.get("names", "").replace("\0", "").split()
    if not names:
        messages.error(request, NOTHING_SELECTED)
        return _back(request)
    shown = request.POST.get("shown", "").split() if action in (Action.SYNC, Action.CANCEL) else None
    if shown is not None and len(shown) != len(names):
        messages.error(request, INCOMPLETE)
        return _ask(request, action, pool, many.find(names[:MOST]))
    cases = attempt(request, lambda: many.carry_out(action, names, actor=actor(request), pool=pool, shown=shown))
    if cases is None:
        return _back(request)
    done = sum(not case.code for case in cases)
    if done:
        messages.success(request, many_words.done(action, done, pool))
    reasons = _reasons(case for case in cases if case.code)
    for reason, left in reasons[:REASONS_SHOWN]:
        who = ", ".join(left.shown) + (f" and {left.more} more" if left.more else "")
        messages.warning(request, f"Left out: {who}. {reason}{'' if reason.endswith('.') else '.'}")
    if len(reasons) > REASONS_SHOWN:
        rest = sum(len(left.shown) + left.more for _, left in reasons[REASONS_SHOWN:])
        messages.warning(request, f"Left out: {rest} more, for other reasons.")
    changed = [case.endpoint for case in cases if case.code == TargetChanged.code]
    return _ask(request, action, pool, many.find(changed)) if changed else _back(request)


def _effects(cases: list[Case]) -> list[tuple[Look, int]]:
    return told_briefly(forecast_many.effects([case.endpoint for case in cases]))


def _asked(request: HttpRequest) -> tuple[Action, Pool | None] | None:
    """The action and the pool of a move; None, with a message, where they make no sense."""
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
        why = f"There is no pool {shown}." if shown else "Choose the pool that they should be moved to."
        messages.error(request, why)
        return None
    return action, pool


def _chosen(request: HttpRequest) -> list[Endpoint]:
    """The ticked endpoints by name, or all that the list's words find."""
    if request.POST.get("all"):
        return found_by(ListQuery(request, QueryDict(request.POST.get("words", ""))), *many.FIELDS)
    ticked = {name.replace("\0", "") for name in request.POST.getlist("endpoint")}
    return many.find(sorted(ticked))


def _reasons(cases: Iterable[Case]) -> list[tuple[str, Any]]:
    """Each reason as a label, with the names that it is about, the most frequent first."""
    found: dict[str, list[str]] = {}
    for case in cases:
        found.setdefault(many_words.label(case.detail), []).append(case.endpoint)
    return [(reason, cut(names)) for reason, names in sorted(found.items(), key=lambda one: -len(one[1]))]


def _words(request: HttpRequest) -> str:
    """The words of the list, as an address has them."""
    return QueryDict(request.POST.get("words", "")).urlencode()


def _back(request: HttpRequest) -> HttpResponse:
    words = _words(request)
    return redirect(f"{reverse('endpoints')}?{words}" if words else reverse("endpoints"))
