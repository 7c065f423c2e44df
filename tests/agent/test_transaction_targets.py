"""What pacman is told by name, and what brings or removes the rest."""

from pathlib import Path

from apps.agent.pacsync_agent import plan, transaction_targets
from apps.agent.pacsync_agent.local_db import Installed, LocalPackage
from apps.agent.pacsync_agent.package_file import PackageFile
from apps.agent.pacsync_agent.transaction_targets import Targets
from apps.fleet.alpm.state import DEPENDENCY, EXPLICIT, InstalledPackage


def arranged(before: dict[str, str], after: dict[str, str], **depends: tuple[str, ...]) -> Targets:
    """The targets from one set to another, each `name: version [dependency]`; `depends` by pkgname."""
    there = {one.name: one for one in _packages(before)}
    installed: Installed = {one.name: LocalPackage(one.name, one.version, "any", one.reason) for one in there.values()}
    steps = plan.make(installed, _packages(after))
    files = [
        PackageFile(Path(f"/{one.name}"), one.name, one.version, "any", depends=depends.get(one.name, ()))
        for one in steps.install
    ]
    return transaction_targets.arrange(steps, installed, files)


def _packages(texts: dict[str, str]) -> list[InstalledPackage]:
    found = {name: text.split() for name, text in texts.items()}
    return [
        InstalledPackage(name, version, "any", DEPENDENCY if rest else EXPLICIT)
        for name, (version, *rest) in found.items()
    ]


def test_targets_new_dependency_is_pulled_in_by_what_needs_it() -> None:
    targets = arranged({"app": "1-1"}, {"app": "2-1", "lib": "1-1 dep", "sub": "1-1 dep"}, app=("lib",), lib=("sub=1",))
    assert targets == Targets(["app"], pulls={"app": ["lib"], "lib": ["sub"]})


def test_targets_nothing_but_new_dependencies_are_named_as_such() -> None:
    assert arranged({}, {"a": "1-1 dep", "b": "1-1 dep"}) == Targets(["a", "b"], ["--asdeps"])


def test_targets_removal_is_a_replacement_by_something_that_is_named() -> None:
    targets = arranged({"app": "1-1", "gone": "1-1"}, {"app": "2-1"})
    assert targets == Targets(["app"], ["-u"], replaces={"app": ["gone"]})


def test_targets_new_dependency_that_nothing_needs_succeeds_what_goes() -> None:
    """It takes the reason of that one, which is a dependency by then."""
    targets = arranged({"lib": "1-1", "gone": "1-1"}, {"lib": "2-1", "opt": "1-1 dep"}, opt=("lib",))
    assert targets == Targets(["lib"], ["-u"], replaces={"opt": ["gone"]}, reasons={"gone": DEPENDENCY})


def test_targets_new_dependency_that_nothing_needs_is_pulled_in_by_what_it_does_not_need() -> None:
    targets = arranged(
        {"lib": "1-1", "app": "1-1"}, {"lib": "2-1", "app": "2-1", "opt": "1-1 dep"}, opt=("mid",), app=(), mid=("lib",)
    )
    assert targets == Targets(["lib", "app"], pulls={"lib": ["opt"]})
    targets = arranged({"lib": "1-1", "app": "1-1"}, {"lib": "2-1", "app": "2-1", "opt": "1-1 dep"}, opt=("lib",))
    assert targets == Targets(["lib", "app"], pulls={"app": ["opt"]})


def test_targets_new_dependency_that_needs_all_is_named_and_late() -> None:
    targets = arranged({"lib": "1-1"}, {"lib": "2-1", "opt": "1-1 dep"}, opt=("lib",))
    assert targets == Targets(["lib", "opt"], late=["opt"])


def test_targets_reason_of_what_is_installed_is_set_before() -> None:
    assert arranged({"a": "1-1", "b": "1-1"}, {"a": "2-1 dep", "b": "1-1 dep"}).reasons == dict.fromkeys(
        "ab", DEPENDENCY
    )
