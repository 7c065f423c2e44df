"""Who changed what: one row per change, written in the change's own transaction. It must not know what is changed."""

from collections.abc import Iterable
from typing import Any

from django.db import models

from .models import AuditEvent

# The actor of what the server does on its own: policies, expired leases, retention.
SERVER = "server"
# Somebody with a shell on the server.
CONSOLE = "console"
# How the actors of what policies queue begin: `policy:lab`.
POLICY = "policy:"


def record(*, actor: str, verb: str, object: str, before: Any = None, after: Any = None) -> None:
    """Add a row. `object` is like `pool:lab`; `before` and `after` are JSON values of the changed fields."""
    AuditEvent.objects.create(actor=actor[:200], verb=verb, object=object[:200], before=before, after=after)


def record_many(*, actor: str, verb: str, objects: Iterable[str], before: Any = None, after: Any = None) -> None:
    """`record` for each of these objects, of which the same is to be said."""
    same = {"actor": actor[:200], "verb": verb, "before": before, "after": after}
    AuditEvent.objects.bulk_create([AuditEvent(object=one[:200], **same) for one in objects], batch_size=500)


def name_of(row: models.Model) -> str:
    """How a row is named in the audit: `pool:lab`, `endpoint:m1`, `operation:<uuid>`."""
    return f"{row._meta.model_name}:{getattr(row, 'name', None) or row.pk}"


def display_name(actor: str) -> str:
    """An actor for people: `user:ada` → `ada`, `endpoint:m1` → `endpoint m1`; anything else as it is."""
    kind, separator, name = actor.partition(":")
    if not separator or kind == "user":
        return name or actor
    return f"{kind} {name}"
