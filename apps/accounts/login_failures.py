"""Wrong passwords: how many an address may send, until when it is blocked, and how it is released (docs/adr/0057).

django-axes keeps the rows. It must not know about pages, nor who asks.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from axes.models import AccessAttempt
from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from apps.accounts import login_identity
from apps.fleet import audit

FORGET_SECONDS = 3600
FEW = 3
"""Wrong passwords that each address may send for an account at which many others guess, too."""
ATTACK = 3
"""An account is attacked once other addresses have sent this many times LOGIN_FAILURES wrong passwords for it."""
FULL = 100


@dataclass(frozen=True)
class Block:
    """No password from `address` is looked at until `until`; only those for `account`, unless that is empty."""

    address: str | None
    account: str
    failures: int
    until: datetime


def fullness(account: str | None, address: str | None) -> int:
    """How much of what it may send the address has sent, in percent; from FULL on it is blocked. One query."""
    here, pair = Q(ip_address=address), Q(ip_address=address, username=account)
    sums = (
        recent()
        .filter(here | Q(username=account))
        .aggregate(
            pair=Sum("failures_since_start", filter=pair, default=0),
            address=Sum("failures_since_start", filter=here, default=0),
            account=Sum("failures_since_start", filter=Q(username=account), default=0),
        )
    )
    limit = _limit_of_pair(others=sums["account"] - sums["pair"])
    parts = FULL * sums["pair"] // limit, FULL * sums["address"] // settings.LOGIN_FAILURES_ADDRESS
    return int(max(parts))


def _limit_of_pair(*, others: int) -> int:
    """What an address may send for an account for which `others` came from elsewhere."""
    attacked = others >= ATTACK * settings.LOGIN_FAILURES
    return min(FEW, settings.LOGIN_FAILURES) if attacked else settings.LOGIN_FAILURES


def blocks(rows: Iterable[AccessAttempt] | None = None) -> list[Block]:
    """What is blocked now, the last to end first; `rows` are those that count, by default all. One query at most."""
    pairs: dict[tuple[str | None, str], list[AccessAttempt]] = defaultdict(list)
    addresses: dict[str | None, list[AccessAttempt]] = defaultdict(list)
    accounts: dict[str, int] = defaultdict(int)
    for row in recent() if rows is None else rows:
        pairs[row.ip_address, row.username or ""].append(row)
        addresses[row.ip_address].append(row)
        accounts[row.username or ""] += row.failures_since_start
    found = [_block(address, "", rows, settings.LOGIN_FAILURES_ADDRESS) for address, rows in addresses.items()]
    for (address, account), rows in pairs.items():
        limit = _limit_of_pair(others=accounts[account] - _failures(rows))
        found.append(_block(address, account, rows, limit))
    return sorted((one for one in found if one), key=lambda one: one.until, reverse=True)


def block_of(account: str | None, address: str | None) -> Block | None:
    """The block that keeps this address from this account; the longer one, if there are two. One query."""
    rows = recent().filter(Q(ip_address=address) | Q(username=account))
    return next((one for one in blocks(rows) if one.address == address and one.account in ("", account)), None)


def _block(address: str | None, account: str, rows: Sequence[AccessAttempt], limit: int) -> Block | None:
    """The block that follows from these rows: it ends when so many are forgotten that less than `limit` are left."""
    failures = left = _failures(rows)
    if failures < limit:
        return None
    for row in sorted(rows, key=lambda row: row.attempt_time):
        left -= row.failures_since_start
        if left < limit:
            break
    return Block(address, account, failures, row.attempt_time + settings.AXES_COOLOFF_TIME)


def _failures(rows: Iterable[AccessAttempt]) -> int:
    return sum(row.failures_since_start for row in rows)


def recent() -> QuerySet[AccessAttempt]:
    """The rows that count: each is forgotten LOGIN_BLOCK_MINUTES after its last wrong password."""
    found: QuerySet[AccessAttempt] = AccessAttempt.objects.filter(attempt_time__gte=_oldest())
    return found


def forget() -> None:
    """Delete the rows that don't count any more. django-axes also does so at each login."""
    AccessAttempt.objects.filter(attempt_time__lt=_oldest() - timedelta(minutes=1)).delete()


def _oldest() -> datetime:
    return timezone.now() - settings.AXES_COOLOFF_TIME


def release(*, actor: str, address: str = "", account: str = "") -> int:
    """Forget the wrong passwords of an address, or those for an account; all of them, if both are empty.

    Returns how many were forgotten. An IPv6 address stands for its /64.
    """
    chosen = Q()
    if address:
        chosen = Q(ip_address=login_identity.counted_as(address))
    elif account:
        chosen = Q(username=account)
    rows = AccessAttempt.objects.filter(chosen)
    released = f"address:{address}" if address else f"user:{account}" if account else "logins:all"
    with transaction.atomic():
        failures: int = rows.aggregate(sum=Sum("failures_since_start", default=0))["sum"]
        if failures:
            rows.delete()
            audit.record(actor=actor, verb="release_login", object=released, before={"wrong_passwords": failures})
    return failures
