"""Work on many endpoints: those that were ticked in a list, or all that its filter found. `many` does it."""

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from apps.dashboard import many_words
from apps.dashboard.access import actor, staff
from apps.dashboard.answers import attempt
from apps.dashboard.endpoint_filter import found_by
from apps.dashboard.forecast_look import cut, told_briefly
from apps.dashboard.list_query import ListQuery
from apps.dashboard.look import Look
from apps.dashboard.reading import rows
from apps.fleet import forecast_many, many
from apps.fleet.filters import IN_NO_POOL
from apps.fleet.many import MOST, Action, Case
from apps.fleet.models import Endpoint, Pool
from apps.fleet.names import NAME_MAX_LENGTH

# So many machines are listed one by one with what a sync changes on them.
LISTED = 50
REASONS_SHOWN = 5


@staff
@require_POST
def ask_about(request: HttpRequest) -> HttpResponse:
    """What would happen to whom, and who is left out and why. Nothing is changed yet."""
    asked = _asked(request)
    if asked is None:
        return _back(request)
    action, pool = asked
    cases = many.plan(action, _chosen(request), pool=pool)
    able = [case for case in cases if not case.code]
    now = able[:MOST]
    if not cases:
        messages.error(request, "Nothing was selected: tick machines in the list first.")
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
        "targets": _targets(now) if action == Action.SYNC else "",
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
@require_POST
def carry_out(request: HttpRequest) -> HttpResponse:
    """Do it with those that were shown, and say how many it was done with, and who was left out meanwhile."""
    asked = _asked(request)
    if asked is None:
        return _back(request)
    action, pool = asked
    names = request.POST.get("names", "").replace("\0", "").split()
    if action == Action.SYNC and (changed := _changed(request.POST.get("targets", ""))):
        messages.error(request, f"{changed} Nothing was queued: look at what it changes first.")
        return _back(request)
    cases = attempt(request, lambda: many.carry_out(action, names, actor=actor(request), pool=pool))
    if cases is None:
        return _back(request)
    done = sum(not case.code for case in cases)
    if done or not cases:
        messages.success(request, many_words.done(action, done, pool))
    reasons = _reasons(case for case in cases if case.code)
    for reason, left in reasons[:REASONS_SHOWN]:
        who = ", ".join(left.shown) + (f" and {left.more} more" if left.more else "")
        messages.warning(request, f"Left out. {reason}: {who}.")
    if len(reasons) > REASONS_SHOWN:
        rest = sum(len(left.shown) + left.more for _, left in reasons[REASONS_SHOWN:])
        messages.warning(request, f"Left out: {rest} more, for other reasons.")
    return _back(request)


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


def _targets(cases: Iterable[Case]) -> str:
    """The targets that were shown, as `lab/4 prod/2`."""
    pools = Pool.objects.filter(endpoints__name__in=[case.endpoint for case in cases], target__isnull=False)
    return " ".join(f"{name}/{number}" for name, number in _numbers(pools).items())


def _changed(targets: str) -> str:
    """Which of the targets that were shown is another one by now; empty if none is."""
    seen = {name: number for name, _, number in (one.partition("/") for one in targets.split())}
    present = _numbers(Pool.objects.filter(name__in=list(seen)))
    for name, number in seen.items():
        if str(present.get(name, 0)) != number:
            return f"The target of {name} is another one by now."
    return ""


def _numbers(pools: Any) -> dict[str, int]:
    return dict(pools.order_by("name").values_list("name", "target__number").distinct())


def _words(request: HttpRequest) -> str:
    """The words of the list, as an address has them."""
    return QueryDict(request.POST.get("words", "")).urlencode()


def _back(request: HttpRequest) -> HttpResponse:
    words = _words(request)
    return redirect(f"{reverse('endpoints')}?{words}" if words else reverse("endpoints"))
