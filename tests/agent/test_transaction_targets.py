"""What pacman is told by name, what goes, and which reasons have to be set."""

from pathlib import Path

from apps.agent.pacsync_agent.databases.local_db import Installed, LocalPackage
from apps.agent.pacsync_agent.packages.package_file import PackageFile
from apps.agent.pacsync_agent.planning import plan, transaction_targets
from apps.agent.pacsync_agent.planning.transaction_targets import Targets
from apps.fleet.alpm.state import DEPENDENCY, EXPLICIT, InstalledPackage


def arranged(before: dict[str, str], after: dict[str, str]) -> Targets:
    """The targets from one set to another, each `name: version [dependency]`."""
    there = {one.name: one for one in _packages(before)}
    installed: Installed = {one.name: LocalPackage(one.name, one.version, "any", one.reason) for one in there.values()}
    steps = plan.make(installed, _packages(after))
    files = [PackageFile(Path(f"/{one.name}"), one.name, one.version, "any") for one in steps.install]
    return transaction_targets.arrange(steps, installed, files)


def _packages(texts: dict[str, str]) -> list[InstalledPackage]:
    found = {name: text.split() for name, text in texts.items()}
    return [
        InstalledPackage(name, version, "any", DEPENDENCY if rest else EXPLICIT)
        for name, (version, *rest) in found.items()
    ]


def test_targets_new_dependency_is_named_and_made_one_by_the_hook() -> None:
    assert arranged({"app": "1-1"}, {"app": "2-1", "lib": "1-1 dep"}) == Targets(["app", "lib"], late=["lib"])


def test_targets_new_dependency_is_not_late_where_it_is_an_upgrade() -> None:
    assert arranged({"app": "1-1", "lib": "1-1 dep"}, {"app": "2-1", "lib": "2-1 dep"}) == Targets(["app", "lib"])


def test_targets_nothing_but_new_dependencies_are_named_as_such() -> None:
    assert arranged({}, {"a": "1-1 dep", "b": "1-1 dep"}) == Targets(["a", "b"], ["--asdeps"])


def test_targets_removal_is_a_conflict_with_what_comes() -> None:
    targets = arranged({"app": "1-1", "gone": "1-1"}, {"app": "1:2-1"})
    assert targets == Targets(["app"], ["--ask", "4"], going=["gone"], word="app=1:2-1")


def test_targets_reason_of_what_is_installed_is_set_before() -> None:
    assert arranged({"a": "1-1", "b": "1-1"}, {"a": "2-1 dep", "b": "1-1 dep"}).reasons == dict.fromkeys(
        "ab", DEPENDENCY
    )
