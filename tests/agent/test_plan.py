"""What a transaction has to do, and what it may not."""

import pytest

from apps.agent.pacsync_agent.databases.local_db import Installed, LocalPackage
from apps.agent.pacsync_agent.errors import Refused
from apps.agent.pacsync_agent.packages import dependency
from apps.agent.pacsync_agent.planning import plan
from apps.fleet.alpm.state import InstalledPackage


def installed(*texts: str) -> Installed:
    """`name version [reason]` each."""
    fields = [text.split() for text in texts]
    return {name: LocalPackage(name, version, "any", *(rest or ["explicit"])) for name, version, *rest in fields}


def wanted(*texts: str) -> list[InstalledPackage]:
    return [package.as_installed() for package in installed(*texts).values()]


def test_plan_every_kind_of_change_is_counted() -> None:
    made = plan.make(
        installed("same 1-1", "up 1-1", "down 1:1-1", "gone 1-1", "reason 1-1"),
        wanted("same 1-1", "up 2-1", "down 9-1", "new 1-1", "reason 1-1 dependency"),
    )
    assert made.counts() == {"install": 1, "upgrade": 1, "downgrade": 1, "remove": 1, "reason": 1}
    assert [package.name for package in made.install] == ["up", "down", "new"]
    assert [package.name for package in made.remove] == ["gone"]


def test_plan_nothing_to_do_is_empty_unless_asked_again() -> None:
    assert not plan.make(installed("a 1-1"), wanted("a 1-1"))
    again = plan.make(installed("a 1-1"), wanted("a 1-1"), again=["a"])
    assert [package.name for package in again.install] == ["a"]
    assert sum(again.counts().values()) == 0


def test_check_permitted_patterns_of_pacman_conf_are_shell_patterns() -> None:
    steps = plan.make(installed("linux 1-1", "glibc 1-1"), wanted("linux 2-1"))
    plan.check_permitted(steps, protected=["pacman"], held=["lin"])
    with pytest.raises(Refused) as refused:
        plan.check_permitted(steps, protected=["gli*"], held=[])
    assert refused.value.code == "protected_package" and "glibc" in refused.value.message
    with pytest.raises(Refused) as refused:
        plan.check_permitted(steps, protected=[], held=["lin[ux]*"])
    assert refused.value.code == "held_package" and "linux" in refused.value.message


@pytest.mark.parametrize(
    ("word", "version", "holds"),
    [
        ("a", "1-1", True),
        ("a=1", "1-5", True),
        ("a=1-1", "1-2", False),
        ("a>=1:1", "2-1", False),
        ("a<2", "1.9-1", True),
        ("a>1.0-0", "1.0-1", True),
        ("a: description", "1-1", True),
    ],
)
def test_dependency_holds_as_libalpm_says(word: str, version: str, holds: bool) -> None:
    assert dependency.parse(word).holds_for(version) is holds
    assert dependency.parse(word).name == "a"


def test_matching_negated_set_of_fnmatch_is_understood() -> None:
    assert plan.matching(["abc", "xyz"], ["[^a]*"]) == ["xyz"]
