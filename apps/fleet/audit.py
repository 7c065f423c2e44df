"""Who changed what: one row per change, written in the change's own transaction. It must not know what is changed."""

from typing import Any

from django.db import models

from .models import AuditEvent

# The actor of what the server does by itself: policies, expired leases, retention.
SERVER = "server"
# How the actors of what policies queue begin: `policy:lab`.
POLICY = "policy:"


def record(*, actor: str, verb: str, object: str, before: Any = None, after: Any = None) -> AuditEvent:
    """Add a row. `object` is like `pool:lab`; `before` and `after` are JSON values of the changed fields."""
    return AuditEvent.objects.create(actor=actor[:200], verb=verb, object=object[:200], before=before, after=after)


def name_of(row: models.Model) -> str:
    """How a row is named in the audit: `pool:lab`, `endpoint:m1`, `operation:<uuid>`."""
    return f"{row._meta.model_name}:{getattr(row, 'name', None) or row.pk}"


def words(actor: str) -> str:
    """An actor for people: `user:ada` → `ada`, `endpoint:m1` → `endpoint m1`; anything else as it is."""
    kind, separator, name = actor.partition(":")
    if not separator or kind == "user":
        return name or actor
    return f"{kind} {name}"
