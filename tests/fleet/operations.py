"""Steps of an operation: create it, extend its lease, let it fail, and let its lease, deadline or pause run out."""

import uuid
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now

from apps.fleet import clock, sync_coordinator
from apps.fleet.models import Endpoint, Operation
from tests import factories


def expire(operation: Operation) -> Operation:
    """Let its lease have run out a second ago."""
    Operation.objects.filter(pk=operation.pk).update(lease_until=Now() - timedelta(seconds=1))
    operation.refresh_from_db()
    return operation


def pass_deadline(operation: Operation) -> None:
    Operation.objects.filter(pk=operation.pk).update(deadline=Now() - timedelta(seconds=1))


def heartbeat(operation: Operation, phase: str = "leased", token: uuid.UUID | None = None) -> Operation:
    return sync_coordinator.heartbeat(
        operation_id=operation.pk,
        endpoint=operation.endpoint,
        lease_token=token or operation.lease_token or uuid.uuid4(),
        phase=phase,
    )


def create(endpoint: Endpoint, kind: str = "sync", **options: Any) -> Operation:
    return sync_coordinator.create_operation(endpoint=endpoint, kind=kind, actor="test", **options)[0]


def reread(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)


def fail(operation: Operation, code: str, *, began: bool = False) -> Operation:
    """One try that ends with this code; the machine is in the base state."""
    begun = factories.applying(operation) if began else factories.leased(operation)
    return factories.finish(begun, operation.base_state, outcome="failed", code=code)


def come_due(operation: Operation) -> Operation:
    """Let the pause before its next try be over."""
    Operation.objects.filter(pk=operation.pk).update(retry_at=clock.moved(timedelta(seconds=-1)))
    operation.refresh_from_db()
    return operation
