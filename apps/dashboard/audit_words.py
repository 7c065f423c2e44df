"""Audit events in words, each with the address of what it is about. It must not know who may see them.

`phrase` is what an actor did: `set target #4 of pool lab`. An event of a newer server is shown by its own names.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q
from django.urls import NoReverseMatch, reverse

from apps.fleet import audit
from apps.fleet.models import AuditEvent, Operation

# By verb, or by verb and kind of object: `{name}` is the object's name, `{after[…]}` a field that was changed.
_PHRASES = {
    "set_target": "set target #{after[number]} of pool {name}",
    "approve_target": "approved target #{after[number]} of pool {name}",
    "confirm_target": "confirmed the target of pool {name}",
    "pause_sync": "paused automatic sync of pool {name}",
    "resume_sync": "resumed automatic sync of {name}",
    "enroll": "enrolled {name}",
    "assign": "{moved}",
    "change_rights": "{rights}",
    "revoke_token": "revoked the token of {name}",
    "rotate_token": "gave {name} a new token",
    "requeue": "queued the operation of {name} again",
    "run_again": "ran the {kind} of {name} again",
    "create operation": "asked for a {after[kind]} of {after[endpoint]}",
    "succeeded operation": "finished the {kind} of {name}",
    "failed operation": "failed in the {kind} of {name}",
    "cancelled operation": "cancelled the {kind} of {name}",
    "lost operation": "gave up the {kind} of {name}",
    "create enrolmentcode": "made an enrolment code",
    "delete enrolmentcode": "deleted an enrolment code",
    "create token": "made the API token {name}",
    "revoke token": "revoked the API token {name}",
    "create pool": "created pool {name}",
    "change pool": "changed pool {name}",
    "delete pool": "deleted pool {name}",
    "delete endpoint": "forgot {name}",
}
VERBS = sorted({key.partition(" ")[0] for key in _PHRASES})
_TONES = {"succeeded": "ok", "failed": "bad", "lost": "bad", "pause_sync": "bad", "set_target": "info"}
_ENDS = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled", "lost": "was lost"}
_ADDRESSES = {"pool": "pool", "endpoint": "endpoint", "operation": "operation"}
# What a first page doesn't say: the end of an operation is news, that somebody asked for it isn't.
_QUIETLY = Q(verb__in=("requeue", "run_again", "rotate_token")) | Q(verb="create", object__startswith="operation:")
# So many events are read for it, in batches: the first one is enough on a quiet day.
_READ = (100, 400, 1500)


class Told(NamedTuple):
    """One event for a person. `times` like it came one after the other, `or_more` than were read; `at` is the newest.

    `kind` is that of the operation, if it is about one.
    """

    id: int
    actor: str
    phrase: str
    address: str
    at: datetime
    tone: str
    times: int
    event: AuditEvent
    kind: str = ""
    or_more: bool = False


class _Missing(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def tell(events: Iterable[AuditEvent]) -> list[Told]:
    """The events in words, in their order. One query, for the operations among them."""
    events = list(events)
    ids = {one for event in events if (one := _operation(event.object))}
    found = Operation.objects.filter(pk__in=ids).values_list("pk", "kind", "endpoint__name")
    operations = {pk: (kind, name) for pk, kind, name in found}
    return [_told(event, operations) for event in events]


def lately(most: int) -> list[Told]:
    """The newest `most` lines: what follows on its like, by the same actors, is one line with a count.

    As many events are read as that takes, _READ at most: a rollout has thousands that are one line. Two queries for
    each batch.
    """
    lines: list[Told] = []
    for one in _newest():
        if one is None:  # there are more than may be read
            lines[-1] = lines[-1]._replace(or_more=True)
        elif lines and _alike(lines[-1]) == _alike(one):
            lines[-1] = lines[-1]._replace(times=lines[-1].times + 1)
        elif len(lines) == most:
            return lines
        else:
            lines.append(one)
    return lines


def _newest() -> Iterator[Told | None]:
    """The newest events that are news, in batches; at the end None where more are left."""
    found, before = AuditEvent.objects.exclude(_QUIETLY).order_by("-id"), None
    for size in _READ:
        batch = list((found if before is None else found.filter(id__lt=before))[:size])
        yield from map(news, tell(batch))
        if len(batch) < size:
            return
        before = batch[-1].pk
    if found.filter(id__lt=before).exists():
        yield None


def news(told: Told) -> Told:
    """Without an actor where that is the thing itself: an operation's own endpoint, or the code of an enrolment."""
    event = told.event
    if event.verb == "enroll":
        return told._replace(actor="", phrase=f"{event.object.partition(':')[2]} enrolled")
    if event.verb not in _ENDS or event.actor.startswith(("user:", "token:")):
        return told
    subject = told.phrase.partition(" the ")[2].partition(":")[0]
    return told._replace(actor="", phrase=f"the {subject} {_ENDS[event.verb]}")


def _alike(told: Told) -> tuple[str, str, str, str]:
    event = told.event
    kind = event.object.partition(":")[0]
    ended_by_endpoint = kind == "operation" and event.actor.startswith("endpoint:")
    return event.verb, kind, told.kind, "endpoint" if ended_by_endpoint else event.actor


def _told(event: AuditEvent, operations: Mapping[UUID, tuple[str, str]]) -> Told:
    kind, _, name = event.object.partition(":")
    known = operations.get(_operation(event.object) or UUID(int=0))
    phrase = _PHRASES.get(f"{event.verb} {kind}") or _PHRASES.get(event.verb)
    after = _Missing(event.after if isinstance(event.after, dict) else {})
    what, where = known or ("operation", name if kind != "operation" else "an endpoint that was forgotten")
    said = {"moved": _moved(where, event), "rights": _rights(where, after)}
    text = phrase.format(name=where, kind=what, after=after, **said) if phrase else f"{event.verb} {event.object}"
    return Told(
        id=event.pk,
        actor=audit.words(event.actor),
        phrase=text.replace("_", " ") if phrase is None else text,
        address=_address(kind, name) if event.verb != "delete" and (kind != "operation" or known) else "",
        at=event.at,
        tone=_TONES.get(event.verb, "off"),
        times=1,
        event=event,
        kind=known[0] if known else "",
    )


def _moved(name: str, event: AuditEvent) -> str:
    sides = (side if isinstance(side, dict) else {} for side in (event.before, event.after))
    before, after = (side.get("pool") for side in sides)
    if before and after:
        return f"moved {name} from pool {before} to pool {after}"
    return (
        f"put {name} into pool {after}" if after else f"took {name} out of {f'pool {before}' if before else 'its pool'}"
    )


def _rights(name: str, after: Mapping[str, Any]) -> str:
    if after["may_set_targets"] is True:
        return f"gave {name} the right to set targets"
    return f"took the right to set targets from {name}"


def _operation(name: str) -> UUID | None:
    kind, _, rest = name.partition(":")
    try:
        return UUID(rest) if kind == "operation" else None
    except ValueError:
        return None


def _address(kind: str, name: str) -> str:
    try:
        return reverse(_ADDRESSES[kind], args=[name]) if kind in _ADDRESSES else ""
    except NoReverseMatch:
        return ""
