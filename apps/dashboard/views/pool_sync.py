"""Syncing every endpoint of a pool: one operation for each that isn't in sync, as many as one request can make."""

from collections import Counter
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from apps.dashboard.access import actor, staff
from apps.dashboard.answers import ask
from apps.dashboard.forecast_look import told
from apps.dashboard.forms import INCOMPLETE, ExpectedForm
from apps.dashboard.pools_by_name import pool_named
from apps.dashboard.reading import counted, statuses_of
from apps.fleet import forecast, one_by_one, proposed, protection, retrying, status
from apps.fleet.exceptions import AlreadyInSync, OperationActive, TargetChanged
from apps.fleet.models import Endpoint, Operation, Pool
from apps.fleet.models.operations import ACTIVE

# Each reads and compares two states of some 1,500 packages; so many keep the request within seconds.
AT_ONCE = 200
UNKNOWN = str(status.Status.UNKNOWN)
# What a case may be without being a refusal.
COUNTED = ("", AlreadyInSync.code, OperationActive.code, one_by_one.NOT_REACHED)
IN_SYNC = ("in_sync", "files_differ")  # a sync changes no package of either


@dataclass(frozen=True)
class _Members:
    """The endpoints of a pool: `waiting` for a sync (status by primary key), and how many others are how."""

    waiting: dict[int, str]
    in_sync: int
    active: int

    def comparable(self) -> list[str]:
        """The statuses of those that wait, without those that can't be compared."""
        return [name for name in self.waiting.values() if name != UNKNOWN]

    def others(self) -> list[str]:
        """Those that aren't synced, and why: `2 already in sync`, `1 can't be compared`."""
        unknown = len(self.waiting) - len(self.comparable())
        return _words(self.in_sync, self.active) + ([f"{unknown} can't be compared"] if unknown else [])


def _members(pool: Pool) -> _Members:
    """By their packages: whether an endpoint is offline doesn't matter, its operation waits for it.

    One that waits for its next try makes way for the new one, which is tried at once.
    """
    found = Endpoint.objects.filter(pool=pool)
    busy = Operation.objects.filter(status__in=ACTIVE).exclude(retrying.GIVES_WAY).values("endpoint")
    idle = found.exclude(pk__in=busy).order_by("name")
    statuses = {pk: name for pk, (_, name) in statuses_of(idle, status.by_packages).items()}
    waiting = {pk: name for pk, name in statuses.items() if name not in IN_SYNC}
    # What can't be compared is refused each time: it comes last, so that it is in nobody's way.
    waiting = dict(sorted(waiting.items(), key=lambda one: one[1] == UNKNOWN))
    return _Members(waiting, len(statuses) - len(waiting), found.filter(pk__in=busy).count())


def _words(in_sync: int, active: int) -> list[str]:
    """`2 already in sync`, `1 has an operation under way`."""
    parts = [f"{in_sync} already in sync"] if in_sync else []
    return parts + ([f"{active} {'has' if active == 1 else 'have'} an operation under way"] if active else [])


def _note(waiting: list[str], members: _Members) -> str:
    """Who isn't among them and why, as the forecast below is of the whole pool; how many are queued at once."""
    others = members.others()
    said = [f"Not among them: {', '.join(others)}."] if others else []
    return " ".join(said + ([f"{AT_ONCE} are queued at a time."] if len(waiting) > AT_ONCE else []))


@staff
@require_http_methods(["GET", "HEAD", "POST"])
def sync_all(request: HttpRequest, name: str) -> HttpResponse:
    """GET says which endpoints; POST queues an operation for each and says what was refused."""
    pool = pool_named(Pool.objects.select_related("target"), name)
    members = _members(pool)
    waiting = members.comparable()
    number = pool.target.number if pool.target else 0
    form = ExpectedForm(request.POST or None, initial={"expected_number": number})
    if request.method == "POST":
        if not form.is_valid():
            messages.error(request, INCOMPLETE)
            return redirect(request.path)
        if form.cleaned_data["expected_number"] != number:
            messages.error(request, f"The target of {name} is #{number} by now. Look at what it does first.")
            return redirect(request.path)
        return redirect("pool", name=name) if _sync(request, pool, members) else redirect(request.path)
    if pool.target is None or not waiting:
        why = members.others() if pool.target else ["the pool has no target yet"]
        messages.info(request, f"There is nothing to sync: {', '.join(why) or 'the pool has no endpoints'}.")
        return redirect("pool", name=name)
    what = proposed.find(pool, "")
    return ask(
        request,
        heading=f"Sync {len(waiting)} machine{'' if len(waiting) == 1 else 's'} of {name}?",
        text=f"Each is brought to exactly target #{pool.target.number} at its next check-in, downgrades and removals "
        "included. What it holds, its foreign packages, what the pool excludes and what the target doesn't manage "
        "stay as they are. "
        "A machine that is offline starts when it is back.",
        counts={name: count for name, count in counted(waiting).items() if count},
        warning=f"Nobody has approved target #{pool.target.number} yet." if pool.target_needs_approval else "",
        note=_note(waiting, members),
        refusing=protection.refusing(pool),
        pool=pool,
        forecast_heading="What a sync of the whole pool would do",
        form=form,
        forecast=told(pool, what, forecast.of(pool, what)),
        button="Sync them",
        back=reverse("pool", args=[name]),
        section="fleet",
    )


def _sync(request: HttpRequest, pool: Pool, members: _Members) -> bool:
    """Queue them and say what came of it; False where the target is another one by now."""
    keys = list(members.waiting)[:AT_ONCE]
    found = Endpoint.objects.filter(pk__in=keys).select_related("pool__target__state", "state")
    by, shown = actor(request), str(pool.target_id)
    cases = list(
        one_by_one.each(
            ((one.name, one) for one in found), lambda endpoint: one_by_one.sync(endpoint, actor=by, shown=shown)
        )
    )
    codes = Counter(case.code for case in cases)
    queued = codes[""]
    in_sync, active = members.in_sync + codes[AlreadyInSync.code], members.active + codes[OperationActive.code]
    left = max(0, len(members.comparable()) - len(keys)) + codes[one_by_one.NOT_REACHED]
    more = f" {left} more are waiting: press Sync all again." if left else ""
    refused = Counter(case.detail for case in cases if case.code not in COUNTED)
    if queued or left or not refused:
        parts = [f"{queued} operation{'' if queued == 1 else 's'} created", *_words(in_sync, active)]
        start = " Machines start at their next check-in." if queued else ""
        messages.success(request, f"{', '.join(parts)}.{start}{more}")
    if any(case.detail == one_by_one.NO_DATABASE for case in cases):
        messages.warning(request, "The database failed in the middle: the others were not reached.")
    for reason, count in refused.most_common(5):
        messages.warning(request, f"{count} not queued: {reason}")
    if len(refused) > 5:
        messages.warning(
            request, f"and {sum(refused.values()) - sum(n for _, n in refused.most_common(5))} more not queued."
        )
    return not codes[TargetChanged.code]
