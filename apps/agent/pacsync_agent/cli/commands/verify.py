"""`verify`: compares the files of all packages with the packages. It must not know how files are compared."""

from __future__ import annotations

from typing import Optional

from ...checkin import report
from ...context import Context, only_agent
from ...errors import AgentError, Exit
from ...examination import leftovers
from ...pacman import lock_check
from ..call import Call
from ..command import Command
from ..file_comparison import compare
from ..parser import Parser

_SHOWN = 100  # lines for people; --json has all


def verify(call: Call) -> int:
    """Compare the files of all packages with the packages, and report what was found."""
    context = call.context()
    with only_agent(context.state_dir, wait=call.arguments.wait):
        lock_check.check_unlocked(context.conf)
        context.journal.check_closed()
        found = compare(context, every=call.arguments.checksums)
        found += leftovers.known(context.conf, context.state_dir)
        problem = _reported(context)
    differing = [one for one in found if not one.is_mode]
    modes = [one for one in found if one.is_mode]
    lines = [f"{one.package}: {one}" for one in (*differing, *modes)]
    more = [f"and {len(lines) - _SHOWN} more (--json has all)"] if len(lines) > _SHOWN else []
    summary = "All files are as their packages have them."
    if found:
        summary = _differ(len(differing), len(modes))
    hints = ["`pacsync-agent sync --repair` puts the files back."] if differing else []
    hints += ["Modes stay as they are; `chmod` sets the one that the package has."] if modes else []
    if problem:
        call.output.warn(f"Not reported yet: {problem.message}")
    call.output.result(
        "\n".join([*lines[:_SHOWN], *more, summary, *hints]),
        command="verify",
        differ=len(differing),
        modes=len(modes),
        findings=[{"package": one.package, "path": _sendable(one.path), "why": one.why} for one in found],
        reported=problem is None,
    )
    return Exit.DIFFERENT if differing else Exit.OK


def _differ(files: int, modes: int) -> str:
    """`2 files differ. The mode of 1 differs.`"""
    said = [] if not files else ["1 file differs." if files == 1 else f"{files} files differ."]
    said += [] if not modes else ["The mode of 1 differs." if modes == 1 else f"The modes of {modes} differ."]
    return " ".join(said)


def _sendable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _reported(context: Context) -> Optional[AgentError]:
    """Report; why that can't be done now. What was found is kept for the next report."""
    try:
        report.check_in(context)
    except AgentError as error:
        return error
    return None


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "--checksums", action="store_true", help="read every file, even if its size and time match the package"
    )


COMMAND = Command(
    name="verify",
    help="compare the files of all packages with the packages",
    examples=(
        "sudo pacsync-agent verify",
        "sudo pacsync-agent verify --checksums     (read every file)",
    ),
    run=verify,
    add_arguments=_add_arguments,
    waits=True,
    needs_root=lambda arguments: True,
)
