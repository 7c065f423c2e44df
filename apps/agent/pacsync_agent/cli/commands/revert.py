"""`revert`: takes the last sync of this machine back. It must not know how."""

from __future__ import annotations

from .. import requested_operation
from ..arguments import force_remove
from ..call import Call
from ..command import Command


def revert(call: Call) -> int:
    """Take the last sync of this machine back; the exit status. Raises AgentError."""
    return requested_operation.execute(call, "revert", nothing="Nothing to take back: the machine is where it was.")


COMMAND = Command(
    name="revert",
    help="undo the last sync of this machine",
    examples=("sudo pacsync-agent revert",),
    run=revert,
    add_arguments=force_remove,
    waits=True,
)
