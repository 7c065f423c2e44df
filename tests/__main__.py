"""`make test`: runs the parts of the suite one after the other, each on all processors; lists the ten slowest tests.

It must not know any test: a part is a database, a choice of pytest's and a number of workers.
`make test ONLY="unit e2e"` runs these parts, `make test ONLY=tests/api/test_pools.py` a path in every part that has it.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # `python -I`, which heeds no variable of the caller, leaves it out

from tests.support import isolation  # noqa: E402 - the import path has to be set first

TESTS = ROOT / "tests"
E2E, DEPLOY, CLUSTER = TESTS / "e2e", TESTS / "deploy", TESTS / "cluster"
NO_SERVERS = (f"--ignore={E2E}", f"--ignore={DEPLOY}", f"--ignore={CLUSTER}")
NO_REQUESTS = (f"--ignore={TESTS / 'api/test_schemathesis.py'}",)  # all need a database; to find them takes ten seconds
# Their statements are those of the fleet, which SQLite gets; e2e has real servers with SQLite, pages and API included.
NO_PAGES = (f"--ignore={TESTS / 'dashboard'}", f"--ignore={TESTS / 'demo'}", *NO_REQUESTS)
FAILED, INTERRUPTED, NOTHING_COLLECTED = 1, 2, 5  # pytest's exit codes
SLOWEST = 10
AGAIN_AT_MOST = 5  # more tests than these don't fail for want of processors


@dataclass(frozen=True)
class Part:
    """`share` is the number of workers for each processor; 0: one test after the other, without workers.

    `environment` is what the tests of this part are told beside their database.
    """

    about: str
    database: str
    options: tuple[str, ...]
    folder: Path = TESTS
    share: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def again(self) -> bool:
        """Whether few tests that fail run once more, alone: real servers share the processors with other tests."""
        return self.folder in (E2E, DEPLOY, CLUSTER)


PARTS = {
    "unit": Part("what needs no database", "sqlite", ("--database=without", *NO_SERVERS, *NO_REQUESTS)),
    "sqlite": Part("what needs a database, on SQLite", "sqlite", ("--database=with", *NO_SERVERS, *NO_PAGES)),
    "postgresql": Part("the same on PostgreSQL", "postgresql", ("--database=with", *NO_SERVERS)),
    "e2e": Part("real servers, agents, browsers", "sqlite", ("-m", "not alone and not long"), folder=E2E, share=2),
    "alone": Part("those of e2e that bear no company", "sqlite", ("-m", "alone"), folder=E2E, share=0),
    "long": Part("further cases of e2e, for a release", "sqlite", ("-m", "long"), folder=E2E, share=2),
    "deploy": Part("the deployment files (make test-deploy)", "sqlite", ("-m", "not long"), folder=DEPLOY, share=0),
    "deploy-all": Part("with its long tests (make test-deploy ALL=1)", "sqlite", (), folder=DEPLOY, share=0),
    "cluster": Part("Kubernetes (make test-cluster)", "sqlite", ("-m", "not long"), folder=CLUSTER, share=0),
    "cluster-all": Part("with its long tests (make test-cluster ALL=1)", "sqlite", (), folder=CLUSTER, share=0),
    "cluster-ipv6": Part(
        "Kubernetes with IPv6 alone (make test-cluster ALL=1)",
        "sqlite",
        ("-m", "ipv6 and not long"),
        folder=CLUSTER,
        share=0,
        environment={"PACSYNC_CLUSTER_FAMILY": "6"},
    ),
}
DEFAULT = [name for name in PARTS if not name.startswith(("long", "deploy", "cluster"))]


def main() -> int:
    """Run what the command line names; the exit code is 0 only if everything passed."""
    parser = argparse.ArgumentParser(prog="make test", usage='make test [ONLY="NAME ..."]', description=__doc__)
    parser.add_argument("only", nargs="*", help=f"{', '.join(PARTS)}, or a path; default: {' '.join(DEFAULT)}")
    names, paths = choose(parser, parser.parse_args().only)
    todo = {name: places for name in names if (places := where(PARTS[name], paths))}
    if not todo:
        parser.error(
            f"no part that was named has {' '.join(paths)}. "
            "(Those in tests/deploy: make test-deploy; in tests/cluster: make test-cluster)"
        )
    os.chdir(ROOT)
    isolation.isolate()
    signal.signal(signal.SIGINT, lambda *_: None)  # pytest gets it too, and ends what it started
    results = {}
    for name, places in todo.items():
        results[name] = run(name, PARTS[name], places)
        if results[name].code == INTERRUPTED:
            break
    report(results)
    return int(any(result.failed for result in results.values()) or all(result.empty for result in results.values()))


def choose(parser: argparse.ArgumentParser, only: Sequence[str]) -> tuple[list[str], list[str]]:
    """(names of parts, paths); an unknown word ends the program with the names that there are."""
    paths = [word for word in only if (ROOT / word.partition("::")[0]).exists() and word not in PARTS]
    if unknown := [word for word in only if word not in PARTS and word not in paths]:
        parser.error(
            f"ONLY names no part of the tests and no path: {' '.join(unknown)}. "
            f"The parts are {', '.join(PARTS)}; a path is one like tests/api or tests/api/test_pools.py."
        )
    return [word for word in PARTS if word in only] or DEFAULT, paths


def where(part: Part, paths: Sequence[str]) -> list[str]:
    """Those of the paths that are in the part's folder; without any the folder."""
    found = [] if paths else [str(part.folder)]
    for path in paths:
        file = (ROOT / path.partition("::")[0]).resolve()
        home = next(folder for folder in (E2E, DEPLOY, CLUSTER, TESTS, ROOT, file) if file.is_relative_to(folder))
        if home == part.folder:
            found.append(path)
        elif file in part.folder.parents:
            found.append(str(part.folder))
    return found


@dataclass(frozen=True)
class Result:
    code: int
    seconds: float
    counts: str
    tests: list[tuple[float, str]]
    again: tuple[str, ...] = ()  # the tests that passed only the second time

    @property
    def empty(self) -> bool:
        return self.code == NOTHING_COLLECTED

    @property
    def failed(self) -> bool:
        return self.code not in (0, NOTHING_COLLECTED)


def run(name: str, part: Part, places: Sequence[str]) -> Result:
    """Run pytest for this part in these folders and files, with what it says shown as it comes."""
    print(f"\n== {name}: {part.about}", flush=True)
    began = time.monotonic()
    code, suite = run_pytest(name, part, [*workers(part), *places])
    failed = suite.failed if code == FAILED and part.again else []
    if not 0 < len(failed) <= AGAIN_AT_MOST:
        return Result(code, time.monotonic() - began, suite.counts, suite.tests)
    print(f"\n== {name}: once more, alone: {' '.join(failed)}", flush=True)
    code, second = run_pytest(f"{name}-again", part, failed)
    counts = f"{suite.counts}; of these the second time: {second.counts}"
    return Result(code, time.monotonic() - began, counts, suite.tests, () if code else tuple(failed))


@dataclass(frozen=True)
class Suite:
    """What pytest's JUnit file says: in words, each test with its seconds, and the identifiers of those that failed."""

    counts: str = "ended early"
    tests: list[tuple[float, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def run_pytest(name: str, part: Part, arguments: Sequence[str]) -> tuple[int, Suite]:
    report = isolation.run_folder() / f"{name}.xml"
    command = [sys.executable, "-m", "pytest", *part.options, f"--junitxml={report}", *arguments]
    # Each part is a run of its own, with a folder of its own.
    env = isolation.clean(os.environ) | {"PACSYNC_TEST_DATABASE": part.database, **part.environment}
    code = subprocess.run(command, env=env).returncode
    return code, read(report)


def workers(part: Part) -> list[str]:
    processors = len(os.sched_getaffinity(0))
    return ["-n", str(min(part.share * processors, 12)), "--dist=worksteal"] if part.share else []


def read(report: Path) -> Suite:
    if not report.exists():
        return Suite()
    suite = next(ElementTree.parse(report).iter("testsuite"))  # noqa: S314 - pytest of this run wrote it
    bad = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    skipped, total = int(suite.get("skipped", 0)), int(suite.get("tests", 0))
    cases = list(suite.iter("testcase"))
    return Suite(
        f"{total - bad - skipped} passed, {bad} failed, {skipped} skipped",
        [(float(case.get("time", 0)), f"{case.get('classname')}::{case.get('name')}") for case in cases],
        [identifier(case) for case in cases if case.find("failure") is not None or case.find("error") is not None],
    )


def identifier(case: ElementTree.Element) -> str:
    """How pytest's command line names this test; none of ours is in a class."""
    return f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"


def report(results: dict[str, Result]) -> None:
    """What took how long, and what came of it."""
    tests = sorted(((*test, name) for name, result in results.items() for test in result.tests), reverse=True)
    print(f"\nThe {SLOWEST} slowest tests, in seconds:")
    for seconds, test, name in tests[:SLOWEST]:
        print(f"  {seconds:7.1f}  {name:<10}  {test}")
    print("\nThe parts, in seconds:")
    for name, result in results.items():
        if not result.empty:
            print(f"  {result.seconds:7.1f}  {name:<10}  {'FAILED: ' if result.failed else ''}{result.counts}")
    print(f"  {sum(result.seconds for result in results.values()):7.1f}", flush=True)
    if again := [test for result in results.values() for test in result.again]:
        print("\nFailed beside others, and passed alone:", *again, sep="\n  ", flush=True)


if __name__ == "__main__":
    sys.exit(main())
