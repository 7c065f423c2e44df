"""API tokens that stop working soon, or have just stopped: what the people who rely on them should know.

It must not know who may see a token.
"""

from collections.abc import Iterable

from django.db.models import Q

from apps.lifecycle.ages import moment_text

from . import clock
from .attention_items import AttentionKind, Item
from .models import ApiToken
from .models.credentials import EXPIRES_SOON, TokenStatus
from .plural import listed

_NAMES = 10


def items() -> Iterable[Item]:
    """One item about all of them, if there are any. One query.

    A token that was made for a shorter time than the warning is long isn't meant to be renewed, so it doesn't count;
    neither does one that expired longer ago.
    """
    near = ApiToken.objects.with_status().filter(
        Q(owner=None) | Q(owner__is_active=True),
        revoked=None,
        expires__gt=clock.moved(-EXPIRES_SOON),
        expires__lte=clock.moved(EXPIRES_SOON),
        created__lt=clock.moved(-EXPIRES_SOON),
    )
    found = list(near.order_by("expires", "name"))
    if not found:
        return
    yield Item(
        kind=AttentionKind.TOKENS_EXPIRE,
        object=f"token:{found[0].name}" if len(found) == 1 else "fleet",
        cause=_of_one(found[0]) if len(found) == 1 else _of_many(found),
        since=None,
        count=len(found),
    )


def _of_one(token: ApiToken) -> str:
    whose = f" of {token.owner.get_username()}" if token.owner else ""
    verb = "expired" if token.status == TokenStatus.EXPIRED else "expires"
    when = moment_text(token.expires)
    return f"The API token {token.name}{whose} {verb} at {when}. Make a new one, use it instead, and revoke this one."


def _of_many(found: list[ApiToken]) -> str:
    names = listed([token.name for token in found], _NAMES)
    return (
        f"{len(found)} API tokens expire within {EXPIRES_SOON.days} days or have just expired: {names}. Make new ones, "
        "use them instead, and revoke these."
    )
