"""Rows read for a change: locked first, then read with what belongs to them. It must not know what is changed.

Locks are taken in the order pool, endpoint, operation; several pools in the order of their keys. On SQLite a writing
transaction is alone anyway (BEGIN IMMEDIATE), and Django leaves FOR UPDATE out.
"""

import uuid

from .exceptions import NotFound
from .models import Endpoint, Operation, Pool


def lock_pools(*pools: Pool) -> list[Pool]:
    """The pools read again, in the order given, locked until the end of the transaction. Raises NotFound."""
    keys = sorted({pool.pk for pool in pools})
    locked = {pool.pk: pool for pool in Pool.objects.filter(pk__in=keys).order_by("pk").select_for_update()}
    for pool in pools:
        if pool.pk not in locked:
            raise NotFound(f"The pool {pool.name} was deleted.")
    return [locked[pool.pk] for pool in pools]


def lock_endpoint(endpoint: Endpoint) -> Endpoint:
    """The endpoint read again with state and target, locked until the end of the transaction. Raises NotFound.

    Locked without the joins: after waiting for the row, PostgreSQL would return it with the old rows of the joins.
    """
    Endpoint.objects.select_for_update().filter(pk=endpoint.pk).values_list("pk").first()
    locked = Endpoint.objects.with_target().filter(pk=endpoint.pk).first()
    if locked is None:
        raise NotFound("The endpoint was deleted.")
    return locked


def operation_of(endpoint: Endpoint, operation_id: uuid.UUID) -> Operation:
    """The operation if it is this endpoint's. Raises NotFound, even if another endpoint has it."""
    operation = Operation.objects.with_names().filter(pk=operation_id, endpoint=endpoint).first()
    if operation is None:
        raise NotFound("This endpoint has no such operation.")
    return operation


def operation(operation_id: uuid.UUID) -> Operation:
    """The operation with endpoint and revision. Raises NotFound."""
    found = Operation.objects.with_names().filter(pk=operation_id).first()
    if found is None:
        raise NotFound("There is no such operation.")
    return found
