"""Names in requests: finds what they name, and checks new ones.

A name that could never exist isn't found, and the database isn't asked. It must not know about HTTP.
"""

import re
from uuid import UUID

from apps.fleet import former_names
from apps.fleet.exceptions import InvalidName, NotFound, PoolRenamed
from apps.fleet.models import Endpoint, Operation, Pool, State
from apps.fleet.names import validate_name

_NAME: re.Pattern[str] = validate_name.regex  # type: ignore[assignment]


def pool_named(name: str) -> Pool:
    """The pool, with its target. Raises NotFound, PoolRenamed."""
    pool = Pool.objects.select_related("target").filter(name=name).first() if _NAME.match(name) else None
    if pool is None:
        current = former_names.current_name(name) if _NAME.match(name) else None
        raise PoolRenamed(name, current) if current else NotFound("There is no such pool.")
    return pool


def endpoint_named(name: str) -> Endpoint:
    """The endpoint, with its pool and the pool's target. Raises NotFound."""
    found = Endpoint.objects.select_related("pool__target").filter(name=name).first() if _NAME.match(name) else None
    if found is None:
        raise NotFound("There is no such endpoint.")
    return found


def operation_with(operation_id: UUID) -> Operation:
    """The operation, with everything that its answer needs. Raises NotFound."""
    operation = Operation.objects.with_names().filter(id=operation_id).first()
    if operation is None:
        raise NotFound("There is no such operation.")
    return operation


def state_with(digest: str) -> State:
    """The state with this digest. Raises NotFound."""
    state = State.objects.filter(digest=digest).first()
    if state is None:
        raise NotFound("There is no such state.")
    return state


def checked_name(name: str) -> str:
    """A name for something new. Raises InvalidName."""
    if not _NAME.match(name):
        raise InvalidName(str(validate_name.message))
    return name
