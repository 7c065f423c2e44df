"""Syncing a pool: one operation for each endpoint that isn't in sync, as many as one request can queue."""

from collections import Counter

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.presentation.endpoint_rows import count_badges
from apps.dashboard.presentation.forecast_tables import forecast_table
from apps.dashboard.requests.action_responses import confirmation_page
from apps.dashboard.requests.forms import INCOMPLETE, ExpectedTargetForm
from apps.dashboard.requests.permissions import actor, operator
from apps.dashboard.requests.pool_by_name import pool_named
from apps.fleet import batches, forecast, pool_sync, proposed, protection
from apps.fleet.exceptions import AlreadyInSync, OperationActive, TargetChanged
from apps.fleet.models import Endpoint, Pool
from apps.fleet.pool_sync import PoolMembers
from apps.fleet.status import EndpointStatus

# Each operation reads and compares two states of some 1,500 packages. This many take a request a few seconds.
AT_ONCE = 200
# Codes of items that are no refusal.
COUNTED = ("", AlreadyInSync.code, OperationActive.code, batches.NOT_REACHED)
REASONS_SHOWN = 5


def _others(members: PoolMembers) -> list[str]:
    """Those that aren't synced, and why: `2 already in sync`, `1 can't be compared`."""
    unknown = len(members.need_sync) - len(members.comparable())
    return _not_synced(members.in_sync, members.active) + ([f"{unknown} can't be compared"] if unknown else [])


def _not_synced(in_sync: int, active: int) -> list[str]:
    """`2 already in sync`, `1 has an operation under way`."""
    parts = [f"{in_sync} already in sync"] if in_sync else []
    return parts + ([f"{active} {'has' if active == 1 else 'have'} an operation under way"] if active else [])


def _note(waiting: list[EndpointStatus], members: PoolMembers) -> str:
    """Which endpoints are left out and why (the forecast below has all of them), and how many are queued at once."""
    others = _others(members)
    parts = [f"Left out: {', '.join(others)}."] if others else []
    return " ".join(parts + ([f"{AT_ONCE} are queued at a time."] if len(waiting) > AT_ONCE else []))


@operator
@require_http_methods(["GET", "HEAD", "POST"])
def sync_all(request: HttpRequest, name: str) -> HttpResponse:
    """GET shows what a sync would do; POST queues an operation for each endpoint, and says what was refused."""
    pool = pool_named(Pool.objects.select_related("target"), name)
    members = pool_sync.members(pool)
    number = pool.target.number if pool.target else 0
    form = ExpectedTargetForm(request.POST or None, initial={"expected_number": number})
    if request.method != "POST":
        return _confirmation(request, pool, members, form)
    if not form.is_valid():
        messages.error(request, INCOMPLETE)
        return redirect(request.path)
    if form.cleaned_data["expected_number"] != number:
        messages.error(request, f"The target of {name} is now #{number}. See first what it changes.")
        return redirect(request.path)
    return redirect("pool", name=name) if _sync(request, pool, members) else redirect(request.path)


def _confirmation(request: HttpRequest, pool: Pool, members: PoolMembers, form: ExpectedTargetForm) -> HttpResponse:
    waiting = members.comparable()
    if pool.target is None or not waiting:
        why = _others(members) if pool.target else ["the pool has no target yet"]
        messages.info(request, f"There is nothing to sync: {', '.join(why) or 'the pool has no endpoints'}.")
        return redirect("pool", name=pool.name)
    number, what = pool.target.number, proposed.find(pool, "")
    return confirmation_page(
        request,
        heading=f"Sync {len(waiting)} machine{'' if len(waiting) == 1 else 's'} of {pool.name}?",
        text=f"Each machine is brought to exactly target #{number} at its next check-in. The sync downgrades and "
        "removes packages where the target says so. Held, foreign, excluded and unmanaged packages stay as they are. A "
        "machine that is offline starts when it is back.",
        counts={name: count for name, count in count_badges(waiting).items() if count},
        warning=f"Nobody has approved target #{number} yet." if pool.target_needs_approval else "",
        note=_note(waiting, members),
        refusing=protection.refusing(pool),
        pool=pool,
        forecast_heading="What a sync of the whole pool would do",
        form=form,
        forecast=forecast_table(pool, what, forecast.of(pool, what)),
        button="Sync them",
        back=reverse("pool", args=[pool.name]),
        section="fleet",
    )


def _sync(request: HttpRequest, pool: Pool, members: PoolMembers) -> bool:
    """Queue the operations and add messages; False if the target has changed since the page was shown."""
    keys = list(members.need_sync)[:AT_ONCE]
    found = Endpoint.objects.filter(pk__in=keys).select_related("pool__target__state", "state")
    cases = list(pool_sync.sync_each(list(found), actor=actor(request), expected=str(pool.target_id)))
    codes = Counter(case.code for case in cases)
    left = max(0, len(members.comparable()) - len(keys)) + codes[batches.NOT_REACHED]
    refused = Counter(case.detail for case in cases if case.code not in COUNTED)
    if codes[""] or left or not refused:
        messages.success(request, _result(members, codes, left))
    if any(case.detail == batches.NO_DATABASE for case in cases):
        messages.warning(request, "The database failed before all of them were queued.")
    for reason, count in refused.most_common(REASONS_SHOWN):
        messages.warning(request, f"{count} not queued: {reason}")
    if len(refused) > REASONS_SHOWN:
        rest = sum(refused.values()) - sum(count for _, count in refused.most_common(REASONS_SHOWN))
        messages.warning(request, f"and {rest} more not queued.")
    return not codes[TargetChanged.code]


def _result(members: PoolMembers, codes: Counter[str], left: int) -> str:
    """`3 operations created, 2 already in sync. Machines start …`. `left` lists those that can be queued next."""
    queued = codes[""]
    others = _not_synced(members.in_sync + codes[AlreadyInSync.code], members.active + codes[OperationActive.code])
    parts = ", ".join([f"{queued} operation{'' if queued == 1 else 's'} created", *others])
    start = " Machines start at their next check-in." if queued else ""
    more = f" {left} more are waiting: press Sync all again." if left else ""
    return f"{parts}.{start}{more}"
