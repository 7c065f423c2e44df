"""Syncing every endpoint of a pool: one operation for each that isn't in sync, as many as one request can make."""

from collections import Counter

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.access import actor, staff
from apps.dashboard.answers import ask
from apps.dashboard.reading import counted, statuses_of
from apps.fleet import sync_coordinator
from apps.fleet.exceptions import FleetError
from apps.fleet.models import Endpoint, Pool
from apps.fleet.models.operations import ACTIVE

# Each reads and compares two states of some 1,500 packages; so many keep the request within seconds.
AT_ONCE = 200
IN_SYNC = "in_sync"


def _waiting(pool: Pool) -> dict[int, str]:
    """The status of each endpoint of the pool that isn't in sync and has no active operation, by primary key."""
    idle = Endpoint.objects.filter(pool=pool).exclude(operations__status__in=ACTIVE).order_by("name")
    return {pk: status for pk, (_, status) in statuses_of(idle).items() if status != IN_SYNC}


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def sync_all(request: HttpRequest, name: str) -> HttpResponse:
    """GET says which endpoints; POST queues an operation for each and says what was refused."""
    pool = get_object_or_404(Pool.objects.select_related("target"), name=name)
    waiting = _waiting(pool)
    if request.method == "POST":
        _sync(request, list(waiting))
        return redirect("pool", name=name)
    if pool.target is None or not waiting:
        messages.info(
            request,
            "There is nothing to sync: " + ("no target." if pool.target is None else "all are in sync or at it."),
        )
        return redirect("pool", name=name)
    return ask(
        request,
        heading=f"Sync {len(waiting)} endpoint{'' if len(waiting) == 1 else 's'} of {name}?",
        text=f"Each is brought to exactly target #{pool.target.number} at its next check-in, downgrades and removals "
        "included. What it holds, its foreign packages and what the pool excludes stay as they are. "
        "A machine that is offline starts when it is back.",
        counts={status: count for status, count in counted(waiting.values()).items() if count},
        note=f"{AT_ONCE} are queued at a time." if len(waiting) > AT_ONCE else "",
        button="Sync them",
        back=reverse("pool", args=[name]),
        section="fleet",
    )


def _sync(request: HttpRequest, keys: list[int]) -> None:
    queued, refused = 0, Counter[str]()
    for endpoint in Endpoint.objects.filter(pk__in=keys[:AT_ONCE]).select_related("pool__target__state", "state"):
        try:
            sync_coordinator.create_operation(endpoint=endpoint, kind="sync", actor=actor(request))
            queued += 1
        except FleetError as refusal:
            refused[f"{refusal.code}: {refusal}"] += 1
    left = len(keys) - AT_ONCE
    more = f" {left} more are waiting: press Sync all again." if left > 0 else ""
    if queued or not refused:
        messages.success(request, f"{queued} queued. Endpoints start at their next check-in.{more}")
    for reason, count in refused.most_common(5):
        messages.warning(request, f"{count} not queued: {reason.partition(': ')[2]}")
    if len(refused) > 5:
        messages.warning(
            request, f"and {sum(refused.values()) - sum(n for _, n in refused.most_common(5))} more not queued."
        )
