"""`run`: does a round again and again, at the pace that the server asks for. It must not know what a round does."""

from __future__ import annotations

import random
from typing import Optional

from ...context import Context, only_agent
from ...databases import sync_databases
from ...errors import AgentError, Busy, Exit, HealthChecksStopped, Interrupted, NotAuthorized, PacmanGoesOn, Unavailable
from ...operation import blocked_operation
from ...system import disk_full
from .. import render
from ..call import Call
from ..command import Command
from ..round import do_round

PATIENCE = 60  # seconds that it waits for a server that doesn't answer
BUSY_PAUSE = 5  # seconds until it looks again whether it may work: a hook's report takes about one
LONGEST_PAUSE = 600  # seconds between two rounds while the server doesn't answer


def run(call: Call) -> int:
    """Do rounds until a signal comes; the exit status. Raises NotAuthorized."""
    context = call.context(PATIENCE)
    context.client.waits_for_name = True
    call.output.line(f"Reporting {context.credentials.name} to {context.credentials.server}.")
    rounds = _Rounds(call, context)
    try:
        while not call.signals.stop.is_set():
            call.signals.stop.wait(rounds.do())
    except Interrupted:
        pass
    except (PacmanGoesOn, HealthChecksStopped) as error:
        call.output.line(str(error))
    call.output.line("Stopped.")
    return Exit.OK


class _Rounds:
    """What one round leaves for the next: the pace, how often the server failed, the last error that was reported."""

    def __init__(self, call: Call, context: Context) -> None:
        self._call = call
        self._context = context
        self._poll = 60.0
        self._failures = 0
        self._reported = ""

    def do(self) -> float:
        """Do one round. Returns the seconds until the next.

        Raises Interrupted, NotAuthorized, PacmanGoesOn, HealthChecksStopped.
        """
        busy, asked_to_wait = False, 0.0
        try:
            poll = self._round()
            busy, self._poll = poll is None, poll or self._poll
            if self._failures:
                self._call.output.line("The server answers again.")
            self._failures, self._reported = 0, ""
        except (Interrupted, NotAuthorized):
            raise
        except AgentError as error:
            if isinstance(error, Unavailable):
                self._failures += 1
                asked_to_wait = error.after
            self._report(error)
        except OSError as error:  # a full disk, as a rule: the next round may find room
            self._report(disk_full.as_agent_error(error, (self._context.state_dir,)))
        jitter = random.uniform(0.9, 1.1)  # noqa: S311 - spreads the machines of a fleet
        return max(self._pause(busy) * jitter, asked_to_wait)

    def _pause(self, busy: bool) -> float:
        if self._failures:
            return min(self._poll * 2.0 ** min(self._failures, 3), LONGEST_PAUSE)
        return min(self._poll, BUSY_PAUSE) if busy else self._poll

    def _report(self, error: AgentError) -> None:
        """Print the error, unless it was the last one that was printed."""
        if error.message != self._reported:
            self._call.output.error(error)
        self._reported = error.message

    def _round(self) -> Optional[float]:
        """The server's poll interval in seconds; None while another agent or pacman is at work.

        pacman's configuration is read again.
        """
        context = self._context
        context.conf = self._call.read_conf()
        try:
            with only_agent(context.state_dir, wait=0):
                answer, ended = do_round(context, may_work=True)
        except Busy as error:
            blocked_operation.say_once(context, error)
            return None
        finally:
            sync_databases.forget()
        if ended:
            render.ended(self._call.output, "run", ended)
        return float(answer["poll_seconds"])


COMMAND = Command(
    name="run",
    help="repeat `once` until it is stopped (the service runs this)",
    examples=("sudo pacsync-agent run",),
    run=run,
)
