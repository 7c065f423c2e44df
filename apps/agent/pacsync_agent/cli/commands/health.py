"""`health`: runs the machine's health commands now, and says which pass. It must not know how they are run."""

from __future__ import annotations

from ...checkin import report
from ...context import only_agent
from ...errors import Exit
from ...health_commands import command_files
from ...health_commands.checking import HealthReport
from ...operation import health_gate
from ..call import Call
from ..command import Command


def health(call: Call) -> int:
    """Run them, and report what failed; FAILED where one fails, or isn't run."""
    context = call.context()
    with only_agent(context.state_dir, wait=call.arguments.wait):
        context.journal.check_closed()
        checked = health_gate.run(context, command_files.find(context.conf.root))
        report.report_now(context)
    call.output.finish_line()
    for ignored in checked.ignored:
        call.output.warn(f"{ignored}.")
    results = [
        {"name": one.name, "passed": one.passed, "status": one.status, "why": one.why, "output": one.output}
        for one in checked.results
    ]
    passed = not checked.failed and not checked.ignored
    call.output.result(_text(checked), command="health", passed=passed, results=results, ignored=list(checked.ignored))
    return Exit.OK if passed else Exit.FAILED


def _text(checked: HealthReport) -> str:
    """A line for each command, and below one that failed what it printed last."""
    lines = []
    for result in checked.results:
        lines.append(f"{result.name}: {result.why or 'passed'}")
        lines += [f"  {line}" for line in result.output.splitlines() if not result.passed]
    count, failed = len(checked.results), len(checked.failed)
    if not count and not checked.ignored:
        return f"There are no health commands: /{command_files.DIRECTORY} has none."
    summary = f"{failed} of {count} failed." if failed else f"{count} of {count} passed."
    return "\n".join([*lines, summary])


COMMAND = Command(
    name="health",
    help="run this machine's health commands now, and say which pass",
    examples=("sudo pacsync-agent health",),
    run=health,
    note=f"The commands are the executable files in /{command_files.DIRECTORY}.\n"
    "They also run after each sync and revert, and before set-latest. With\n"
    "`revert_if_unhealthy = yes` in /etc/pacsync-agent.conf a sync is reverted if one fails.",
    waits=True,
    needs_root=lambda arguments: True,
)
