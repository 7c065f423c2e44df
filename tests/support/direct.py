"""The agent's own way to a set of packages, without a server: gathered, rehearsed, applied, verified in this process.

It must not know what a test expects of it.
"""

import os
import shutil
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from apps.agent.pacsync_agent.gather.candidates import Trust
from apps.agent.pacsync_agent.pacman import configuration
from apps.agent.pacsync_agent.pacman.execution import Run, TransactionProcess
from apps.agent.pacsync_agent.terminal.output import Output
from apps.agent.pacsync_agent.transaction import machine as agent_machine
from apps.agent.pacsync_agent.transaction import rehearsal
from apps.fleet.alpm.state import InstalledPackage
from tests.support.pacman import Machine

# Says, as PacSync's own tests need it, which packages a hook was told of, and which are dependencies by then.
RECORD = """#!/bin/bash
mapfile -t targets
dependencies=()
for entry in /var/lib/pacman/local/*/desc; do
  while read -r line; do
    [ "$line" != %NAME% ] || read -r name
    [ "$line" != %REASON% ] || dependencies+=("$name")
  done <"$entry"
done
echo "${targets[*]} | ${dependencies[*]}" >>/hooks.log
"""
EVERYTHING = "[Trigger]\nOperation = Install\nOperation = Upgrade\nOperation = Remove\nType = Package\nTarget = *\n"


def record_hooks(machine: Machine) -> None:
    """Have a hook after each transaction write its targets, and the packages that are dependencies then."""
    for name in ("bin", "dev", "etc"):
        (machine.root / name).mkdir(exist_ok=True)
    for name in ("bash", "sh"):
        shutil.copy("/bin/bash-static", machine.root / "bin" / name)
    script = machine.root / "record"
    script.write_text(RECORD)
    script.chmod(0o755)
    hook = f"{EVERYTHING}[Action]\nWhen = PostTransaction\nExec = /bin/bash /record\nNeedsTargets\n"
    (machine.directory / "hooks" / "record.hook").write_text(hook)


def recorded(machine: Machine) -> list[tuple[set[str], set[str]]]:
    """(targets, dependencies) of each run of the hook since the last call."""
    log = machine.root / "hooks.log"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return [(set(targets.split()), set(rest.split())) for targets, _, rest in (line.partition(" | ") for line in lines)]


def agent_of(machine: Machine) -> agent_machine.Machine:
    """The agent on this machine, with the caches and databases that the machine has."""
    directory = machine.root / "var/lib/pacsync-agent"
    directory.mkdir(parents=True, exist_ok=True)
    os.chmod(directory, 0o700)
    return agent_machine.Machine(
        conf=configuration.read(machine.config, None, None),
        state_dir=directory,
        running=TransactionProcess(directory),
        output=Output(quiet=True),
        stop=threading.Event(),
        trust=Trust(target_files=True),
    )


def packages(state: Mapping[str, tuple[str, str]], arch: str = "any") -> list[InstalledPackage]:
    """A set of packages as `Machine.state` gives it."""
    return [InstalledPackage(name, version, arch, reason) for name, (version, reason) in sorted(state.items())]


def bring(machine: Machine, goal: Iterable[InstalledPackage]) -> Run | None:
    """Bring the machine to exactly these packages. Raises AgentError."""
    goal = list(goal)
    agent = agent_of(machine)
    try:
        prepared = agent.prepare(goal, held=())
        run = agent.apply(prepared)
        if run is None or run.status == 0:
            agent.finish(goal)
            agent.verify(goal, prepared.problems, [package.name for package in prepared.plan.install])
    finally:
        rehearsal.remove_rehearsal(agent.rehearsal_dir)
    return run


def local(machine: Machine, name: str) -> Path:
    """A directory of the machine's pacman database."""
    return machine.dbpath / name
