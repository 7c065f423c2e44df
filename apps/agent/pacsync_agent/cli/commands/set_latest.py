"""`set-latest`: makes what this machine has the target of its pool. It must not know how it is reported."""

from __future__ import annotations

from ...checkin import report
from ...context import only_agent
from ...errors import Exit, Local, Refused
from ...examination.source_examination import UNUSABLE
from ...health_commands import command_files
from ...operation import health_gate
from ...pacman import lock_check
from ...server.client import HINTS, ApiError
from ...server.newest_revision import RevisionSeen
from .. import render
from ..call import Call
from ..command import Command
from ..parser import Parser


def set_latest(call: Call) -> int:
    """Make what this machine has the target of its pool."""
    context = call.context()
    with only_agent(context.state_dir, wait=call.arguments.wait):
        lock_check.check_unlocked(context.conf)
        context.journal.check_closed()
        for ignored in health_gate.run(context, command_files.find(context.conf.root)).ignored:
            call.output.warn(f"{ignored}.")
        answer = report.check_in(context)
        for problem in context.problems:
            if problem["code"] == UNUSABLE:  # then nothing has checked whether the packages fit together
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


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("--comment", default="", help="why, for the history")
    parser.add_argument(
        "--force",
        action="store_true",
        help="even from a machine that isn't sound; a new revision even if it is the target already",
    )


COMMAND = Command(
    name="set-latest",
    help="make what this machine has the target of its pool",
    examples=("sudo pacsync-agent set-latest --comment 'after the kernel update'",),
    run=set_latest,
    add_arguments=_add_arguments,
    note="The endpoint needs the right to set targets; an operator gives it.",
    waits=True,
)
