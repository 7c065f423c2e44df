"""The list of the demo, and the versions that are made up for other days."""

import itertools

import pytest

from apps.fleet.alpm.version import vercmp
from demo import packages, versions
from demo.machines import AHEAD

STEPS = range(-9, 10)


def test_list_has_so_many_packages_of_every_repository() -> None:
    names = [package.name for package in packages.catalogue()]
    assert len(names) == len(set(names)) >= 1500
    assert {package.repository for package in packages.catalogue()} == set(packages.REPOSITORIES)


def test_moved_is_in_pacmans_own_order_for_every_package() -> None:
    for package in packages.catalogue():
        made = [versions.moved(package.version, steps) for steps in STEPS]
        assert made[STEPS.index(0)] == package.version
        for before, after in itertools.pairwise(made):
            assert vercmp(before, after) <= 0, (package.name, before, after)
        assert vercmp(made[STEPS.index(0)], made[STEPS.index(1)]) < 0, package.name


@pytest.mark.parametrize(
    ("version", "steps", "expected"),
    [
        ("3.6.3-1", -1, "3.6.2-1"),
        ("3.6.3-2", -1, "3.6.3-1"),
        ("3.6.3-2", 1, "3.6.4-1"),
        ("1:2.0.0-1", -1, "1:1.9.9-1"),
        ("20260622-1", -1, "20260615-1"),
        ("7.1.4.arch1-1", -1, "7.1.3.arch1-1"),
        ("16.1.1+r346+g4e03491b401d-1", 1, "16.1.2+r346+g4e03491b401d-1"),
        ("1.0.08-1", -1, "1.0.07-1"),
        ("B.02.20-2", 1, "B.02.20-3"),
        ("0.0-1", -3, "0.0-1"),
    ],
)
def test_moved_makes_versions_that_could_have_been(version: str, steps: int, expected: str) -> None:
    assert versions.moved(version, steps) == expected


def test_moved_refuses_what_is_no_version() -> None:
    with pytest.raises(ValueError, match="isn't a version"):
        versions.moved("3.6.3", 1)


def test_days_packages_of_one_upstream_are_released_together() -> None:
    systemd = [one for one in packages.catalogue() if one.name.startswith("systemd")]
    assert len(systemd) > 2
    for day in range(-60, 60):
        assert len({one.on(day) for one in systemd}) == 1
    assert len({systemd[0].on(day) for day in range(-60, 60)}) > 1


def test_days_machines_have_several_versions_of_packages_that_people_look_for() -> None:
    """Of the target before, of the current one, of the canaries, and of who went ahead."""
    known = {one.name: {one.on(day) for day in (-6, -2, 0, -2 + AHEAD)} for one in packages.catalogue()}
    looked_for = ("openssl", "curl", "linux", "systemd", "bash", "git", "haproxy", "nginx", "postgresql", "gnome-shell")
    assert all(2 <= len(known[name]) <= 3 for name in looked_for), {name: known[name] for name in looked_for}
    assert len(known["openssl"]) == 3


def test_days_some_packages_change_between_two_targets_and_most_do_not() -> None:
    before, after = (packages.installed(("base", "desktop"), day) for day in (-6, -2))
    assert 0.01 < sum(one != two for one, two in zip(before, after, strict=True)) / len(after) < 0.3
