"""Runs the agent and kills it with SIGKILL at one point: `agent_driver.py AGENT POINT ARGUMENTS…`.

The points: `enter:STEP` (the journal has just reached STEP), `before:STEP` (it is about to), `close` (before it
is closed), `sent:WORD` (a request whose path ends in WORD was answered), `pacman:started` (the agent alone, pacman
goes on), `pacman:ended`, `pacman:cut:TEXT` (the agent and its pacman, as soon as pacman has said TEXT), `reasons:both`
and `reasons:pacman` (the agent and its first `pacman -D`, or that alone, when it has the lock), `repairing` (when the
agent has taken the lock itself, to repair a database entry), `going` (likewise, when it has said in the database
what goes). `:2` after a STEP or `ended` means the second time. At `suspended` it isn't killed: its lease runs out
once, as on a machine that slept. Nor at `slow-look`: the first look at the lock lets an earlier pacman go on
(`Machine.slow_down`), takes until it has ended, and says so. Nor at `unflushed`: it flushes no file system. Nor at
`without:no_room`: it doesn't know a full disk from any other failure. Nor at `without:memory`: no place in memory is
known to it.
The agent itself knows nothing of this.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def patch(point: str) -> None:
    from apps.agent.pacsync_agent import journal
    from apps.agent.pacsync_agent.checkin import report
    from apps.agent.pacsync_agent.operation import heartbeat
    from apps.agent.pacsync_agent.pacman import execution
    from apps.agent.pacsync_agent.server import client
    from apps.agent.pacsync_agent.system import durability

    kind, _, detail = point.partition(":")
    times = [1]
    if detail.endswith(":2"):
        detail, times = detail.removesuffix(":2"), [2]

    def is_time() -> bool:
        times[0] -= 1
        return times[0] == 0

    if kind in {"enter", "before"}:
        enter = journal.Journal.enter

        def dying_enter(self: Any, step: str, **changes: Any) -> None:
            if kind == "before" and step == detail and is_time():
                die()
            enter(self, step, **changes)
            if kind == "enter" and step == detail and is_time():
                die()

        journal.Journal.enter = dying_enter
    elif point == "without:memory":
        from apps.agent.pacsync_agent.pacman import database_copy

        database_copy.IN_MEMORY = ()
    elif kind == "without":
        from apps.agent.pacsync_agent.system import disk_full

        disk_full.is_it = lambda error: False
    elif kind == "suspended":
        check = heartbeat.Heartbeat.check

        def late_check(self: Any) -> None:
            self.lease_until = float("-inf")
            heartbeat.Heartbeat.check = check
            check(self)

        heartbeat.Heartbeat.check = late_check
    elif kind == "unflushed":
        durability.flush = lambda *_: None
    elif kind == "slow-look":
        another_pacman, looks = report.another_pacman, []

        def slow_another_pacman(context: Any) -> bool:
            found = another_pacman(context)
            looks.append(found)
            if looks == [True] and context.transaction.is_running():
                (context.conf.root / "never").write_text("go on\n")
                while context.transaction.is_running():
                    time.sleep(0.005)
                print("pacman ended during the look")
            return found

        report.another_pacman = slow_another_pacman
    elif kind == "close":
        journal.Journal.close = die
    elif kind == "sent":
        request = client.Client.request

        def dying_request(self: Any, method: str, path: str, *rest: Any, **options: Any) -> Any:
            answer = request(self, method, path, *rest, **options)
            if path.endswith(detail):
                die()
            return answer

        client.Client.request = dying_request
    elif (kind, detail) == ("pacman", "ended"):
        run = execution.TransactionProcess.run

        def dying_run(self: Any, *arguments: Any, **options: Any) -> Any:
            done = run(self, *arguments, **options)
            if is_time():
                die()
            return done

        execution.TransactionProcess.run = dying_run
    elif kind == "going":
        from apps.agent.pacsync_agent.planning import removal_conflicts

        add = removal_conflicts.add

        def dying_add(dbpath: Path, *rest: Any) -> None:
            add(dbpath, *rest)
            if dbpath.name != "db":
                die()

        removal_conflicts.add = dying_add
    elif kind == "reasons":
        patch_reasons(detail)
    elif kind == "repairing":
        from apps.agent.pacsync_agent.databases import entry_repair

        locked = entry_repair.locked

        @contextlib.contextmanager
        def dying_locked(*arguments: Any) -> Iterator[None]:
            with locked(*arguments):
                die()
                yield

        entry_repair.locked = dying_locked
    else:
        patch_popen(detail)


def patch_reasons(whom: str) -> None:
    """The entry that `pacman -D` opens is a FIFO for it, so that it waits with the lock held."""
    started = subprocess.Popen

    def cut(process: Any, desc: Path, lock: Path, known: Path) -> None:
        while not (lock.exists() and '"lock"' in known.read_text()):
            time.sleep(0.001)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.replace(desc.with_name("desc.real"), desc)
        if whom == "both":
            os.killpg(process.pid, signal.SIGKILL)
            die()
        os.kill(int(children[0]), signal.SIGKILL)
        print("killed pacman -D", file=sys.stderr)

    class Popen(started):  # type: ignore[valid-type,misc]
        def __init__(self, command: Any, *rest: Any, **options: Any) -> None:
            first = command[0] == "/bin/sh" and "-D" in command and subprocess.Popen is Popen
            if first:
                subprocess.Popen = started  # type: ignore[misc]
                config = Path(command[command.index("--config") + 1]).read_text()
                dbpath = Path(config.partition("DBPath = ")[2].splitlines()[0])
                desc = next((dbpath / "local").glob(f"{command[command.index('-D') + 2]}-*")) / "desc"
                desc.rename(desc.with_name("desc.real"))
                os.mkfifo(desc)
            super().__init__(command, *rest, **options)
            if first:
                known = Path(command[3]).with_name("pacman-lock.json")
                threading.Thread(target=cut, args=(self, desc, dbpath / "db.lck", known), daemon=True).start()

    subprocess.Popen = Popen  # type: ignore[misc]


def patch_popen(detail: str) -> None:
    started = subprocess.Popen
    text = detail.partition(":")[2]

    def cut(process: Any, log: str) -> None:
        while text not in Path(log).read_text():
            time.sleep(0.0005)
        os.killpg(process.pid, signal.SIGKILL)
        die()

    class Popen(started):  # type: ignore[valid-type,misc]
        def __init__(self, command: Any, *rest: Any, **options: Any) -> None:
            super().__init__(command, *rest, **options)
            if command[0] != "/bin/sh" or "-D" in command:  # only the transaction itself counts
                return
            if detail == "started":
                die()
            log = str(Path(command[3]).with_name("pacman.log"))
            threading.Thread(target=cut, args=(self, log), daemon=True).start()

    subprocess.Popen = Popen  # type: ignore[misc]


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    patch(sys.argv[2])
    from apps.agent.pacsync_agent.cli.main import main

    sys.exit(main(sys.argv[3:]))
