"""Excluded packages: which patterns are refused, and what the others match in the target and on the machines."""

import pytest

from apps.fleet import exclusions, pool_manager
from apps.fleet.exceptions import InvalidPattern
from apps.fleet.exclusions import Match
from apps.fleet.models import Pool
from tests import factories

SENSIBLE = [
    "linux",
    "linux*",
    "lib32-*",
    "*-git",
    "[!p]*-dkms",
    "python-?*",
    "[]a]b",
    "a[^-]c",
    "gtk[2-4]",
    "*[0-9]",
    "@x",
    "[a/b]x",
    "[^^]x",
]


@pytest.mark.parametrize("pattern", SENSIBLE)
def test_pattern_that_makes_sense_is_taken(pattern: str) -> None:
    assert exclusions.checked([pattern, "vim", pattern]) == [pattern, "vim"]


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("*", "matches every package"),
        ("**", "matches every package"),
        ("?*", "matches every package"),
        ("????*", "matches every package"),
        ("[!-]*", "matches every package"),
        ("[A-Za-z0-9@_]*", "matches every package"),
        ("linux[", "its “[” is never closed"),
        ("[]", "its “[” is never closed"),
        ("[!]", "its “[” is never closed"),
        ("linux[ab", "its “[” is never closed"),
        ("[[:alpha:]]*", "classes like [:alpha:]"),
        ("lib[9-0]*", "from 9 to 0 there is nothing"),
        ("linux,nvidia", "no package name has “,” in it"),
        ("core/linux", "no package name has “/” in it"),
        ("linux\\*", "no package name has “\\” in it"),
        ("[ä]x", "no package name has “ä” in it"),
        ("linux]", "no package name has “]” in it"),
        ("-git", "no package name begins with “-”"),
        (".hidden", "no package name begins with “.”"),
        ("", "is empty"),
        ("a b", "has a space"),
        ("a" * 256, "is longer than 255"),
    ],
)
def test_pattern_that_makes_no_sense_is_refused_with_its_reason(pattern: str, why: str) -> None:
    with pytest.raises(InvalidPattern) as refused:
        exclusions.checked(["vim", pattern])
    assert why in str(refused.value)
    assert (refused.value.code, refused.value.extra["field"]) == ("invalid_pattern", "excluded_packages")


@pytest.mark.parametrize("value", ["linux", None, [1], [["linux"]], {"linux": 1}, ["linux"] * 1001])
def test_what_is_no_list_of_patterns_is_refused(value: object) -> None:
    with pytest.raises(InvalidPattern):
        exclusions.checked(value)


@pytest.mark.django_db
def test_matches_are_named_in_the_target_and_counted_on_the_machines() -> None:
    lab = factories.pool("lab", excluded_packages=["linux*"])
    source = factories.reporting_endpoint(
        "m1", pool=lab, state=factories.state("linux 1-1", "linux-lts 1-1", "nvidia 1-1", "app 1-1")
    )
    pool_manager.set_target(pool=lab, endpoint=source, actor="test")
    factories.reporting_endpoint("m2", pool=lab, state=factories.state("linux 2-1", "app 1-1"))
    factories.reporting_endpoint("m3", pool=lab, state=factories.state("linux 2-1", "app 1-1"))
    factories.reporting_endpoint("elsewhere", state=factories.state("linux-zen 1-1"))
    factories.endpoint("silent", pool=lab)
    lab = Pool.objects.select_related("target__state").get(pk=lab.pk)
    assert exclusions.matches(lab, ["linux*", "nvidia", "gone"]) == [
        Match(pattern="linux*", managed=[], left_out=["linux", "linux-lts"], machines={"linux": 3, "linux-lts": 1}),
        Match(pattern="nvidia", managed=["nvidia"], left_out=[], machines={"nvidia": 1}),
        Match(pattern="gone", managed=[], left_out=[], machines={}),
    ]


@pytest.mark.django_db
def test_pool_without_target_or_machines_matches_nothing() -> None:
    lab = factories.pool("lab")
    assert exclusions.matches(lab, []) == []
    assert exclusions.matches(lab, ["a*"]) == [Match(pattern="a*", managed=[], left_out=[], machines={})]


@pytest.mark.django_db
def test_pool_is_neither_made_nor_changed_with_such_a_pattern() -> None:
    with pytest.raises(InvalidPattern):
        pool_manager.create_pool(name="lab", actor="test", excluded_packages=["*"])
    lab = factories.pool("lab", excluded_packages=["linux"])
    with pytest.raises(InvalidPattern):
        pool_manager.change_pool(pool=lab, actor="test", excluded_packages=["linux["], description="new")
    lab.refresh_from_db()
    assert (lab.excluded_packages, lab.description) == (["linux"], "")
