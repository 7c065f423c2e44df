"""The command `set-latest`: makes what this machine has the target of its pool. It must not know how it is reported."""

from __future__ import annotations

from . import render, report
from .api import HINTS, ApiError
from .commands import Call, refuse_half_way, refuse_unfinished
from .context import only_agent
from .errors import Exit, Local, Refused
from .examination import UNUSABLE
from .revision_seen import RevisionSeen


def set_latest(call: Call) -> int:
    """Make what this machine has the target of its pool."""
    context = call.context()
    with only_agent(context.state_dir, wait=call.arguments.wait):
        refuse_half_way(context)
        refuse_unfinished(context)
        answer = report.check_in(context)
        for problem in context.problems:
            if problem["code"] == UNUSABLE:  # then nobody has seen whether the packages fit together
                raise Local(
                    UNUSABLE, problem["text"], "Put that right first: this machine can't be examined without it."
                )
        if not answer["pool"]:
            raise Refused("no_pool", f"{context.credentials.name} is in no pool.", HINTS["no_pool"])
        body = {
            "endpoint": context.credentials.name,
            "expected_number": answer["target"]["number"] if answer["target"] else 0,
            "comment": call.arguments.comment,
            **({"force": True} if call.arguments.force else {}),
        }
        try:
            revision = context.client.post(f"/pools/{answer['pool']}/targets", body)
        except ApiError as error:
            raise error.as_agent_error(context.credentials.name) from None
        RevisionSeen(context.state_dir).accept(answer["pool"], revision)
    for problem in context.problems:
        call.output.warn(f"{context.credentials.name} as the source: {problem['text']}")
    new = revision["number"] != body["expected_number"]
    text = f"The target of pool {answer['pool']} is {'now' if new else 'already'} revision {revision['number']}: "
    text += f"what {context.credentials.name} has." + ("" if new else " Nothing was changed.")
    text = "\n".join([text, *render.left_out(revision.get("unmanaged")), *render.waiting(revision)])
    call.output.result(text, command="set-latest", pool=answer["pool"], revision=revision, new=new)
    return Exit.OK
