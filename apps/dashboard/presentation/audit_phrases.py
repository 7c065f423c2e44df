"""Audit events as phrases, each with the address of its object. It must not know who may see them.

A phrase is what an actor did: `set target #4 of pool lab`. An event of a newer server is shown by its own names.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q
from django.urls import NoReverseMatch, reverse

from apps.dashboard.presentation.status_badges import AUDIT_TONES
from apps.fleet import audit
from apps.fleet.models import AuditEvent, Operation

# By verb, or by verb and kind of object. `{name}` is the object's name, `{after[…]}` the new value of a field.
_PHRASES = {
    "set_target": "set target #{after[number]} of pool {name}",
    "approve_target": "approved target #{after[number]} of pool {name}",
    "sign_target": "uploaded a signature of target #{after[number]} of pool {name}",
    "unsign_target": "removed a signature from a target of pool {name}",
    "confirm_target": "confirmed the target of pool {name}",
    "pause_sync": "paused automatic sync of pool {name}",
    "roll_back": "was rolled back to the state before its last sync, without an operation",
    "resume_sync": "resumed automatic sync of {name}",
    "enroll": "enrolled {name}",
    "assign": "{moved}",
    "change_rights": "{rights}",
    "revoke_token": "revoked the token of {name}",
    "rotate_token": "gave {name} a new token",
    "request_rotation": "asked {name} to rotate its token",
    "allow_reenrolment": "made a code with which {name} enrols again",
    "withdraw_reenrolment": "withdrew the code with which {name} enrols again",
    "reenroll": "enrolled {name} again",
    "token_shared": "noticed more than one machine with the token of {name}",
    "approve": "approved {name}",
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
    "delete token": "deleted the API token {name} with its owner's account",
    "change_role": "{role}",
    "create pool": "created pool {name}",
    "change pool": "changed pool {name}",
    "delete pool": "deleted pool {name}",
    "delete endpoint": "forgot {name}",
    "log_in": "logged in",
    "log_out": "logged out",
    "log_in_failed": "sent a wrong password for {name}",
    "log_in_failed account": "sent a password for an account that doesn't exist",
    "block_login": "was blocked after too many wrong passwords, the last one for {name}",
    "block_login account": "was blocked after too many passwords, the last one for an account that doesn't exist",
    "release_login address": "released the blocked logins from {name}",
    "release_login user": "released the blocked logins to {name}",
    "release_login logins": "released all blocked logins",
    "change_password": "set the password of {name}",
    "add_second_factor": "set up the second factor of {name}",
    "remove_second_factor": "removed the second factor of {name}",
    "use_recovery_code": "logged in with a recovery code",
}
VERBS = sorted({key.partition(" ")[0] for key in _PHRASES})
_ENDS = {"succeeded": "succeeded", "failed": "failed", "cancelled": "was cancelled", "lost": "was lost"}
_URL_NAMES = {"pool": "pool", "endpoint": "endpoint", "operation": "operation"}
# What the overview leaves out: the end of an operation is news, the request for it isn't, nor is a
# login or a new password.
_NO_NEWS = Q(
    verb__in=(
        "requeue",
        "run_again",
        "rotate_token",
        "request_rotation",
        "log_in",
        "log_out",
        "log_in_failed",
        "change_password",
    )
) | Q(verb="create", object__startswith="operation:")
# How many events the overview reads, batch after batch: on a quiet day the first batch is enough.
_BATCHES = (100, 400, 1500)


Subject = tuple[str, str]
"""The kind of an operation and the name of its endpoint."""


class AuditLine(NamedTuple):
    """One event for a person, or several of the same kind in a row: then `at` is the time of the newest.

    `times` is their number; `or_more` says that there may be more, which were not read. `kind` is that of the
    operation, if the event is about one.
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


class _Brief(NamedTuple):
    """What says whether an event is like the one before it."""

    pk: int
    actor: str
    verb: str
    object: str


class _Missing(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return "?"


def audit_lines(events: Iterable[AuditEvent]) -> list[AuditLine]:
    """The events as lines, in their order. One query, for the operations among them."""
    events = list(events)
    known = _operations(events)
    return [_line(event, known.get(event.object)) for event in events]


def _operations(events: Iterable[AuditEvent | _Brief]) -> dict[str, Subject]:
    """The operations that events are about and that still exist, by the events' objects. One query."""
    objects = {one: event.object for event in events if (one := _operation(event.object))}
    found = Operation.objects.filter(pk__in=objects).values_list("pk", "kind", "endpoint__name")
    return {objects[pk]: (kind, name) for pk, kind, name in found}


def news(most: int) -> list[AuditLine]:
    """The newest `most` lines. Events of the same kind and actor in a row are one line with a count.

    A rollout has thousands of events that are one line: events are read in batches, until there are enough lines or the
    last of _BATCHES was read. Two queries for each batch, and one for lines that begin after the first batch.
    """
    firsts: list[tuple[AuditEvent | _Brief, Subject | None]] = []
    times: list[int] = []
    last, left = None, False
    for one in _newest():
        if one is None:  # there are more than may be read
            left = True
        elif (group := _group(*one)) == last:
            times[-1] += 1
        elif len(firsts) == most:
            break
        else:
            firsts.append(one)
            times.append(1)
            last = group
    brief = [event.pk for event, _ in firsts if isinstance(event, _Brief)]
    whole = AuditEvent.objects.in_bulk(brief) if brief else {}
    lines = []
    for (event, known), count in zip(firsts, times, strict=True):
        found = whole.get(event.pk) if isinstance(event, _Brief) else event
        if found is not None:  # else it was removed in between
            lines.append(as_news(_line(found, known))._replace(times=count))
    if left and lines:
        lines[-1] = lines[-1]._replace(or_more=True)
    return lines


def _newest() -> Iterator[tuple[AuditEvent | _Brief, Subject | None] | None]:
    """The newest events that are news, with the operations that they are about, in batches.

    Ends with None if more are left.
    """
    found, before = AuditEvent.objects.exclude(_NO_NEWS).order_by("-id"), None
    for size in _BATCHES:
        batch: list[AuditEvent | _Brief]
        if before is None:
            batch = list(found[:size])
        else:
            batch = list(map(_Brief._make, found.filter(id__lt=before).values_list(*_Brief._fields)[:size]))
        known = _operations(batch)
        yield from ((event, known.get(event.object)) for event in batch)
        if len(batch) < size:
            return
        before = batch[-1].pk
    if found.filter(id__lt=before).exists():
        yield None


def as_news(line: AuditLine) -> AuditLine:
    """`m1 enrolled` for `code … enrolled m1`, `the sync of m1 failed` for `endpoint m1 failed in the sync of m1`."""
    event = line.event
    if event.verb == "enroll":
        return line._replace(actor="", phrase=f"{event.object.partition(':')[2]} enrolled")
    if event.verb not in _ENDS or event.actor.startswith(("user:", "token:")):
        return line
    subject = line.phrase.partition(" the ")[2].partition(":")[0]
    return line._replace(actor="", phrase=f"the {subject} {_ENDS[event.verb]}")


def _group(event: AuditEvent | _Brief, operation: Subject | None) -> tuple[str, str, str, str]:
    """What events have in common that become one line. It doesn't matter which endpoint ended an operation."""
    kind = event.object.partition(":")[0]
    ended_by_endpoint = kind == "operation" and event.actor.startswith("endpoint:")
    return event.verb, kind, operation[0] if operation else "", "endpoint" if ended_by_endpoint else event.actor


def _line(event: AuditEvent, known: Subject | None) -> AuditLine:
    kind, _, name = event.object.partition(":")
    return AuditLine(
        id=event.pk,
        actor=audit.display_name(event.actor),
        phrase=_phrase(event, known),
        address=_address(kind, name) if event.verb != "delete" and (kind != "operation" or known) else "",
        at=event.at,
        tone=AUDIT_TONES.get(event.verb, "off"),
        times=1,
        event=event,
        kind=known[0] if known else "",
    )


def _phrase(event: AuditEvent, operation: Subject | None) -> str:
    """`operation` is the kind and the endpoint's name of the one that the event is about, if it still exists."""
    kind, _, name = event.object.partition(":")
    template = _PHRASES.get(f"{event.verb} {kind}") or _PHRASES.get(event.verb)
    if template is None:
        return f"{event.verb} {event.object}".replace("_", " ")
    after = _Missing(event.after if isinstance(event.after, dict) else {})
    what, subject = operation or ("operation", name if kind != "operation" else "an endpoint that was forgotten")
    sentences = {"moved": _moved(subject, event), "rights": _rights(subject, after), "role": _role(name, after)}
    return template.format(name=subject, kind=what, after=after, **sentences)


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


def _role(name: str, after: Mapping[str, Any]) -> str:
    return f"gave {name} the role {after['role']}" if after["role"] else f"took the role of {name}"


def _operation(name: str) -> UUID | None:
    kind, _, rest = name.partition(":")
    try:
        return UUID(rest) if kind == "operation" else None
    except ValueError:
        return None


def _address(kind: str, name: str) -> str:
    try:
        return reverse(_URL_NAMES[kind], args=[name]) if kind in _URL_NAMES else ""
    except NoReverseMatch:
        return ""
