"""Comparing sets of packages, and the goal of one endpoint: laws that hold for any sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fleet import difference
from apps.fleet.alpm.state import DEPENDENCY, EXPLICIT, InstalledPackage
from apps.fleet.difference import KeptPackages
from tests.factories import packages

names = st.sampled_from(["app", "foo", "libfoo", "linux", "linux-lts", "tool", "x+y", "yay"])
package = st.builds(
    InstalledPackage,
    names,
    st.sampled_from(["1-1", "1.0-1", "2-1", "1:1-1", "01-1"]),
    st.sampled_from(["any", "x86_64"]),
    st.sampled_from([EXPLICIT, DEPENDENCY]),
)
package_sets = st.lists(package, max_size=8, unique_by=lambda package: package.name)
patterns = st.lists(st.sampled_from(["linux*", "app", "?oo", "[!a-m]*", "[^a-m]*", "x+y", "*", "LINUX"]), max_size=2)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ([], ["a 1-1"], "install"),
        (["a 1-1"], [], "remove"),
        (["a 1-1"], ["a 2-1"], "upgrade"),
        (["a 1:1-1"], ["a 2-1"], "downgrade"),
        (["a 1.1-1"], ["a 1:0.9-1"], "upgrade"),
        (["a 1-1 any"], ["a 1-1 x86_64"], "replace"),
        (["a 1-1"], ["a 01-1"], "replace"),
        (["a 1-1 any"], ["a 2-1 x86_64"], "upgrade"),
        (["a 1-1 explicit"], ["a 1-1 dependency"], "reason"),
        (["a 1-1 explicit"], ["a 2-1 dependency"], "upgrade"),
        (["a 1-1 any explicit"], ["a 1-1 x86_64 dependency"], "replace"),
    ],
)
def test_compare_one_package_changed_has_this_kind(before: list[str], after: list[str], change: str) -> None:
    (found,) = difference.compare(packages(*before), packages(*after))
    assert (found.name, found.kind) == ("a", change)
    assert [found.before] == (packages(*before) or [None]) and [found.after] == (packages(*after) or [None])


def test_compare_equal_sets_in_another_order_is_empty() -> None:
    assert difference.compare(packages("a 1-1", "b 1-1"), packages("b 1-1", "a 1-1")) == []


@given(package_sets, package_sets)
def test_compare_any_sets_changes_lead_from_one_to_the_other(before: list, after: list) -> None:
    changed = {package.name: package for package in before}
    for change in difference.compare(before, after):
        assert changed.get(change.name) == change.before
        if change.after is None:
            del changed[change.name]
        else:
            changed[change.name] = change.after
    assert changed == {package.name: package for package in after}


@given(package_sets, package_sets, patterns, st.lists(names, max_size=2), patterns)
def test_goal_any_sets_kept_names_stay_and_all_others_follow(
    installed: list, target: list, held: list[str], foreign: list[str], excluded: list[str]
) -> None:
    kept = KeptPackages(held=held, foreign=foreign, excluded=excluded)
    goal = {package.name: package for package in difference.goal(installed, target, kept)}
    here = {package.name: package for package in installed}
    there = {package.name: package for package in target}
    for name in here.keys() | there.keys():
        assert goal.get(name) == (here if kept.why(name) else there).get(name)
    assert goal.keys() <= here.keys() | there.keys()


@pytest.mark.parametrize(
    ("pattern", "matched", "unmatched"),
    [
        ("linux", "linux", "linux-lts"),
        ("linux*", "linux-lts", "alinux"),
        ("?oo", "foo", "fooo"),
        ("[!a-f]oo", "goo", "foo"),
        ("[^a-f]oo", "goo", "foo"),
        ("Foo", "Foo", "foo"),
        ("x+y", "x+y", "xxy"),
        ("a.b", "a.b", "axb"),
    ],
)
def test_kept_pattern_matches_as_ignorepkg_does(pattern: str, matched: str, unmatched: str) -> None:
    kept = KeptPackages(held=[pattern], foreign=[], excluded=[])
    assert (kept.why(matched), kept.why(unmatched)) == ("held", None)


def test_kept_several_reasons_each_name_has_the_first() -> None:
    kept = KeptPackages(held=["a"], foreign=["a", "b"], excluded=["*"])
    assert kept.among(["c", "b", "a"]) == {"held": ["a"], "foreign": ["b"], "excluded": ["c"], "unmanaged": []}


def test_counts_all_kinds_are_there() -> None:
    changes = difference.compare(packages("a 1-1", "b 1-1"), packages("a 2-1", "c 1-1"))
    assert difference.counts(changes) == {
        "install": 1, "remove": 1, "upgrade": 1, "downgrade": 0, "replace": 0, "reason": 0
    }  # fmt: skip
