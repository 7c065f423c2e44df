"""Notices two machines that report with one endpoint's token, as a cloned virtual machine does.

With its report an agent says which number its last report had, as it remembers it. As long as one machine reports, that
is the number of the endpoint's last report, or a higher one that didn't arrive. A lower one means that somebody else
has reported since, or that the machine was set back to a snapshot. These are told apart by what follows. The report
begins a chain of its own. A machine that was set back doesn't continue the chain that it left; two machines continue
theirs again and again. Each time that a chain goes on after another one has reported is a return, and after RETURNS of
them within a short time there are two machines.

So nothing depends on what a clone has, too: an id of the machine, the kernel's id of the boot, an address. It must not
know what is reported.
"""

import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from . import audit, row_locks
from .exceptions import TokenShared
from .models import Endpoint

RETURNS = 3
"""So many within WINDOW poll intervals, or within SHORTEST, whichever is longer."""
WINDOW = 10
SHORTEST = timedelta(minutes=10)
CHAINS = 8
"""The newest chains whose last number is kept: more machines than these are noticed by those that report most often."""


def notice(endpoint: Endpoint, *, seq: int, previous_seq: int | None) -> None:
    """Take down how a report continues the ones before; sets `token_shared` of `endpoint`, as it was just read.

    `previous_seq` is None if the agent doesn't say (an older one, or one whose disk was full). No query if it
    continues the last report, or if two machines are known already.
    """
    if _continues(endpoint, seq, previous_seq) or endpoint.token_shared is not None:
        return
    with transaction.atomic():
        locked = row_locks.lock_endpoint(endpoint)
        if previous_seq is None or _continues(locked, seq, previous_seq) or locked.token_shared is not None:
            return
        chains = _with(locked.report_chains or {}, seq, previous_seq, locked.report_seq)
        Endpoint.objects.filter(pk=locked.pk).update(report_chains=chains)
        if len(chains["returns"]) >= RETURNS:
            Endpoint.objects.filter(pk=locked.pk).update(token_shared=Now())
            audit.record(actor=audit.SERVER, verb="token_shared", object=audit.name_of(locked))
    read = Endpoint.objects.filter(pk=endpoint.pk).values_list("token_shared", "report_chains").get()
    endpoint.token_shared, endpoint.report_chains = read


def _continues(endpoint: Endpoint, seq: int, previous_seq: int | None) -> bool:
    """Whether nobody else has reported since the report with `previous_seq`. A repeat of the last report continues."""
    return previous_seq is None or previous_seq >= endpoint.report_seq or seq == endpoint.report_seq


def _with(chains: dict[str, Any], seq: int, previous_seq: int, newest: int) -> dict[str, Any]:
    """The chains after a report that doesn't continue `newest`, the endpoint's last one.

    `ends`: the last number of each chain, the newest last. `returns`: when a chain went on, in seconds of Unix time.
    """
    ends, now = list(chains.get("ends", ())), time.time()
    seconds = max(settings.POLL_SECONDS * WINDOW, SHORTEST.total_seconds())
    returns = [at for at in chains.get("returns", ()) if at > now - seconds]
    if previous_seq in ends:
        returns.append(now)
    kept = [end for end in ends if end not in (previous_seq, newest, seq)]
    return {"ends": [*kept, newest, seq][-CHAINS:], "returns": returns}


def check(endpoint: Endpoint) -> None:
    """Raise TokenShared if more than one machine reports with the endpoint's token."""
    if endpoint.token_shared is not None:
        raise TokenShared(
            f"More than one machine reports as {endpoint.name}, with the same token. Let one of them enrol again, with "
            f"a code from {endpoint.name}'s page; the others have to enrol under names of their own."
        )


SHARED = Q(token_shared__isnull=False)
"""Endpoints with whose token more than one machine reports."""
