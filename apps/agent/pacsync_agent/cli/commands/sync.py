"""`sync`: brings this machine to the target of its pool, with --repair the files of its packages as well.

It must not know how.
"""

from __future__ import annotations

from ...errors import Exit
from .. import requested_operation, sync_repair
from ..arguments import force_remove
from ..call import Call
from ..command import Command
from ..parser import Parser


def sync(call: Call) -> int:
    """Sync, and repair files if --repair says so; the exit status. Raises AgentError."""
    if not call.arguments.repair:
        return _sync(call)
    not_repaired = sync_repair.complete_entries(call)
    status = _sync(call, is_last=False)
    if status not in {Exit.OK, Exit.FAILED}:
        return status
    return sync_repair.repair(call, not_repaired) or status


def _sync(call: Call, *, is_last: bool = True) -> int:
    return requested_operation.execute(call, "sync", nothing="Already in sync: nothing to do.", is_last=is_last)


def _add_arguments(parser: Parser) -> None:
    force_remove(parser)
    parser.add_argument("--repair", action="store_true", help="also reinstall packages whose files differ")


COMMAND = Command(
    name="sync",
    help="bring this machine to exactly the target of its pool",
    examples=(
        "sudo pacsync-agent sync",
        "sudo pacsync-agent sync --repair     (and put back files that differ)",
        "sudo pacsync-agent sync --config /mnt/etc/pacman.conf --root /mnt",
    ),
    run=sync,
    add_arguments=_add_arguments,
    waits=True,
    needs_root=lambda arguments: bool(arguments.repair),
)
