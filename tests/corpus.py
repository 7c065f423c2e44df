"""`python -m tests.corpus DIRECTORY`: the agent on the cases of pacman's own test suite, which is not ours to keep.

DIRECTORY is pacman's source (`apt-get source pacman-package-manager`, or its repository), of the version that is
installed. The real pacman does what each case has it do; then the agent brings a machine as it was before to exactly
the packages of after, and back. A case is usable if pacman succeeds, a package changes, and the case has the package
files of both sides. It needs root, pacman and bash-static. It ends with 1 where one case differs.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from apps.agent.pacsync_agent.errors import AgentError
from apps.fleet.alpm.state import InstalledPackage
from tests.support import direct, isolation, pactest
from tests.support.pacman import Fleet, Machine
from tests.support.pactest import Case, Root, State, Unusable

EXACT, REFUSED, DIFFERS, UNUSABLE = VERDICTS = ("exact", "refused", "differs", "unusable")
DAY = "2025/01/01"


@dataclass
class Result:
    """What came of a case, and `why` where it isn't exact.

    Refused: one of the sides is what pacman only makes when it is told to break a rule (unmet dependencies, files that
    somebody else has), or needs another build of a version that is there. The agent doesn't, and left the machine as it
    was.
    """

    name: str
    verdict: str = EXACT
    why: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The first word of the case's name: pacman's are named after what they are about."""
        return re.split(r"[-_0-9]", self.name)[0]


def goal_of(state: State) -> list[InstalledPackage]:
    return [InstalledPackage(name, *rest) for name, rest in sorted(state.items())]


def machine_of(case: Case, directory: Path) -> Machine:
    """A machine as the case has it before its command, with the package files of both sides in its cache."""
    fleet = Fleet(directory)
    case.write_packages(fleet.pool)
    fleet.snapshot(DAY, [])
    hooks = f"HookDir = {directory}/m/m/root/etc/pacman.d/hooks"
    options = [line for line in case.options if not line.startswith("XferCommand")]
    machine = Machine(fleet, "m", ("core",), "\n".join([hooks, f"CacheDir = {fleet.pool}", *options]))
    shutil.rmtree(machine.root)
    shutil.copytree(case.before.path, machine.root, symlinks=True)
    shutil.rmtree(machine.dbpath / "sync")
    machine.agent_config("trust_target_files = yes")
    machine.go_to(DAY)
    return machine


def bring(machine: Machine, goal: Root, other: Root) -> list[str]:
    """Bring the machine from the packages of `other` to those of `goal`; how it differs from them afterwards."""
    here, wanted, began = Root(machine.root), goal.state(), time.time()
    before = here.state()
    try:
        run = direct.bring(machine, goal_of(wanted))
        changed = [name for name, rest in wanted.items() if before.get(name, ())[:2] != rest[:2]]
        if run is None or run.status == 0:
            direct.agent_of(machine).check_files(changed, began)
    except AgentError as error:
        return [f"{error.code}: {error.message}"]
    if run is not None and run.status != 0:
        return [f"pacman: {line}" for line in run.errors]
    after = here.state()
    names = sorted(after.keys() | wanted.keys())
    found = [
        f"{name}: {after.get(name)}, not {wanted.get(name)}" for name in names if after.get(name) != wanted.get(name)
    ]
    found += sorted(here.problems() - goal.problems())
    return found + sorted(here.altered() - goal.altered() - other.altered())


def try_case(path: Path, directory: Path) -> Result:
    """Bring a machine of this case to and fro."""
    result = Result(path.stem)
    try:
        case = Case(path, directory)
        case.run()
        machine = machine_of(case, directory)
    except Unusable as error:
        return Result(path.stem, UNUSABLE, [str(error)])
    for way, goal, other in (("there", case.after, case.before), ("back", case.before, case.after)):
        found = bring(machine, goal, other)
        rules = broken_rules(case, goal, other, found)
        if rules and Root(machine.root).state() == other.state():
            result.verdict, found = REFUSED, rules
        elif found:
            result.verdict = DIFFERS
        result.why += [f"{way}: {line}" for line in found]
        if found:
            break
    return result


def broken_rules(case: Case, goal: Root, other: Root, found: list[str]) -> list[str]:
    """The rules that the case has pacman break on the way to `goal`, where the agent stopped for them."""
    if found and found[0].startswith("rehearsal_failed"):
        rebuilt = [f"{name} is another build of the same version" for name in case.rebuilt()]
        return sorted(goal.problems() - other.problems()) or rebuilt
    return found if "--overwrite" in case.command and any("exists in filesystem" in line for line in found) else []


def report(results: Iterable[Result]) -> int:
    """Say what came of them by kind, and name those that differ; the exit status."""
    results = list(results)
    counts = Counter((result.kind, result.verdict) for result in results)
    print(f"\n{'kind':<16}" + "".join(f"{verdict:>10}" for verdict in VERDICTS))
    for kind in [*sorted({result.kind for result in results}), "all"]:
        row = [sum(n for (one, what), n in counts.items() if kind in (one, "all") and what == v) for v in VERDICTS]
        print(f"{kind:<16}" + "".join(f"{number:>10}" for number in row))
    print("\nUnusable because")
    for why, number in Counter(why for one in results if one.verdict == UNUSABLE for why in one.why).most_common():
        print(f"{number:5}  {why}")
    for verdict in (REFUSED, DIFFERS):
        for result in results:
            if result.verdict == verdict:
                print(f"\n{result.name} ({verdict})", *result.why, sep="\n    ")
    return int(any(result.verdict == DIFFERS for result in results))


def main() -> int:
    """Try the cases of the command line, all without any."""
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("directory", type=Path, help="pacman's source")
    parser.add_argument("cases", nargs="*", metavar="CASE", help="names of cases, without .py; default: all")
    parser.add_argument("--keep", type=Path, help="keep the machines in this folder")
    options = parser.parse_args()
    paths = sorted((options.directory / pactest.FOLDER / "tests").resolve().glob("*.py"))
    paths = [path for path in paths if path.stem in options.cases or not options.cases]
    if not paths:
        parser.error(f"there is no such case in {options.directory / pactest.FOLDER / 'tests'}")
    isolation.isolate()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(paths, 1):
            directory = (options.keep or Path(folder)).resolve() / path.stem
            results.append(try_case(path, directory))
            print(f"{number:4}/{len(paths)}  {results[-1].verdict:<10}{path.stem}", flush=True)
            if not options.keep:
                shutil.rmtree(directory, ignore_errors=True)
    return report(results)


if __name__ == "__main__":
    sys.exit(main())
