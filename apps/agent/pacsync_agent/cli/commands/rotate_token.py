"""`rotate-token`: gives this machine a new token; the old one becomes invalid. It must not know how."""

from __future__ import annotations

from ...checkin import token_rotation
from ...context import only_agent
from ...errors import Exit
from ..call import Call
from ..command import Command


def rotate_token(call: Call) -> int:
    """Rotate the token, and say so. The exit status. Raises AgentError."""
    context = call.context()
    with only_agent(context.state_dir, wait=call.arguments.wait):
        token_rotation.rotate(context)
    name = context.credentials.name
    call.output.result(f"{name} has a new token. The old one no longer works.", command="rotate-token", name=name)
    return Exit.OK


COMMAND = Command(
    name="rotate-token",
    help="give this machine a new token; the old one no longer works",
    examples=("sudo pacsync-agent rotate-token",),
    run=rotate_token,
    note="Interrupted at any point, the machine has a token that works; the next report finishes the rotation.",
    waits=True,
    needs_root=lambda arguments: True,
)
