"""Endpoints that enrolled while REQUIRE_APPROVAL was on, and wait for an operator. It must not know HTTP.

Until then the server takes nothing of theirs but a sign of life, and tells them nothing about targets. An operator who
refuses one deletes it (`apps.fleet.endpoint_manager.delete_endpoint`).
"""

from django.db import transaction
from django.db.models import Q

from . import audit, row_locks
from .exceptions import ApprovalPending
from .models import Endpoint

AWAITING = Q(awaits_approval=True)
"""Endpoints that wait for an approval."""


def approve(*, endpoint: Endpoint, actor: str) -> Endpoint:
    """Let the endpoint take part. A repeat changes nothing. Raises NotFound."""
    with transaction.atomic():
        locked = row_locks.lock_endpoint(endpoint)
        if locked.awaits_approval:
            Endpoint.objects.filter(pk=locked.pk).update(awaits_approval=False)
            audit.record(actor=actor, verb="approve", object=audit.name_of(locked))
        return row_locks.lock_endpoint(locked)


def check(endpoint: Endpoint) -> None:
    """Raise ApprovalPending if the endpoint waits for an approval."""
    if endpoint.awaits_approval:
        raise ApprovalPending(
            f"{endpoint.name} waits for an operator's approval. Until then it gets no target and no operation, and "
            "nothing that it reports is kept."
        )
