"""A sync or revert that somebody asks for on the machine itself. It must not know how it is carried out."""

from __future__ import annotations

from ..context import only_agent
from ..errors import Exit
from ..examination import verification
from ..operation import next_operation
from . import render
from .call import Call


def execute(call: Call, kind: str, *, nothing: str, is_last: bool = True) -> int:
    """Finish what was begun, then do it; the exit status. Raises AgentError.

    `kind` is sync or revert, `nothing` what to print when there is nothing to do. `is_last`: the command ends with it.
    """
    context = call.context()
    context.force_remove = tuple(call.arguments.force_remove)
    with only_agent(context.state_dir, wait=call.arguments.wait), next_operation.given_back(context):
        began = next_operation.resume(context, give_back=True)
        if began:
            render.ended(call.output, kind, began, last=False)
            if began.kind == kind:
                return render.exit_of(began)
        ended = next_operation.execute(context, kind)
    if ended:
        return render.ended(call.output, kind, ended, last=is_last)
    if is_last:
        for problem in verification.among(context.problems):
            call.output.warn(problem["text"])
        call.output.result(nothing, command=kind, status="unchanged", operation=None)
    return Exit.OK
