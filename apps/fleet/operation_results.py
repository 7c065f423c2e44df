"""What is kept as the result of an operation: what its agent said, or what the server says itself.

It must not know HTTP or how an operation comes to its end (`transitions`).
"""

from typing import Any

from . import difference, limits, states, text_input
from .exceptions import Invalid
from .models import Operation, State

_OUTCOMES = ("succeeded", "failed")
# The changes of a difference that are kept with a result; its counts are always complete.
_CHANGES_KEPT = 100


def agent_result(outcome: str, *, code: str, message: str, hint: str | None, log_tail: str) -> dict[str, Any]:
    """What an agent said, cut to what is kept: `hint` is one line that says what to do, of the log the end is kept.

    Raises Invalid (an unknown outcome).
    """
    if outcome not in _OUTCOMES:
        raise Invalid(f"outcome must be one of {', '.join(_OUTCOMES)}.", field="outcome")
    result = {
        "outcome": outcome,
        "code": text_input.head(code, maximum=limits.RESULT_CODE_LENGTH),
        "message": text_input.head(message, maximum=limits.RESULT_MESSAGE_LENGTH),
        "log_tail": text_input.tail(log_tail, maximum=limits.LOG_TAIL_KEPT),
    }
    return result | {"hint": text_input.head(hint, maximum=limits.HINT_LENGTH)} if hint else result


def server_result(outcome: str, code: str, message: str) -> dict[str, Any]:
    """A result that no agent sent."""
    return {"outcome": outcome, "code": code, "message": message, "log_tail": ""}


def difference_to(operation: Operation, state: str) -> dict[str, Any]:
    """What would still have to change from `state` (a digest) to the operation's target: {"counts", "changes"}.

    Raises StateTooLarge, ComparisonTooLong.
    """
    reached, target = State.objects.get(pk=state), operation.target_state
    changes = difference.compare(states.load(reached), states.load(target))
    return {"counts": difference.counts(changes), "changes": difference.as_json(changes[:_CHANGES_KEPT])}
