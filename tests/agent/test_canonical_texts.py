"""The two hashed texts: what is written can be read, and everything else is refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.fleet.alpm import repository, state
from apps.fleet.alpm.repository import OfferedPackage
from apps.fleet.alpm.state import InstalledPackage

names = st.from_regex(r"\A[A-Za-z0-9@_+][A-Za-z0-9@._+-]{0,20}\Z")
versions = st.from_regex(r"\A([0-9]{1,3}:)?[A-Za-z0-9._+~^%]{1,12}-[0-9]{1,3}(\.[0-9])?\Z")
arches = st.sampled_from(["any", "x86_64", "x86_64_v3"])
installed = st.builds(InstalledPackage, names, versions, arches, st.sampled_from(state.REASONS))
sums = st.one_of(st.none(), st.from_regex(r"\A[0-9a-f]{64}\Z"))
offered = st.builds(
    OfferedPackage,
    names,
    versions,
    arches,
    st.from_regex(r"\A[a-z][a-z0-9:+._~-]{0,30}\Z"),
    sums,
    st.integers(0, 10**12),
)


@given(st.lists(installed, unique_by=lambda package: package.name))
def test_state_text_any_packages_parses_to_the_same(packages: list[InstalledPackage]) -> None:
    text = state.to_text(packages)
    assert state.parse(text) == sorted(packages)
    assert state.to_text(reversed(packages)) == text


@given(st.lists(offered, min_size=1, unique_by=lambda package: package.name))
def test_repository_text_any_packages_parses_to_the_same(packages: list[OfferedPackage]) -> None:
    assert repository.parse(repository.to_text(packages)) == sorted(packages, key=lambda package: package.name)


def test_state_text_known_packages_has_the_documented_form() -> None:
    text = state.to_text(
        [
            InstalledPackage("libfoo", "1:2.0-1.1", "x86_64", "dependency"),
            InstalledPackage("lib+foo", "2-1", "any", "explicit"),
        ]
    )
    assert text == b"lib+foo 2-1 any explicit\nlibfoo 1:2.0-1.1 x86_64 dependency\n"
    assert state.digest_of(text) == "d1fa999730c9ad8239f8dac2bfa0d36d047d81122ba37f2dc4d214903fa92354"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"a 1-1 any explicit", "newline"),
        (b"\na 1-1 any explicit\n", "4 fields"),
        (b"a 1-1 any\n", "4 fields"),
        (b"a  1-1 any explicit\n", "4 fields"),
        (b"a 1-1 any explicit\r\n", "install reason"),
        (b"a 1-1 any whim\n", "install reason"),
        (b"b 1-1 any explicit\na 1-1 any explicit\n", "sorted"),
        (b"a 1-1 any explicit\na 2-1 any explicit\n", "again"),
        (b"\xff 1-1 any explicit\n", "UTF-8"),
        (b"-a 1-1 any explicit\n", "package name"),
        (b".a 1-1 any explicit\n", "package name"),
        (b"a/b 1-1 any explicit\n", "package name"),
        ("ä 1-1 any explicit\n".encode(), "package name"),
        (b"a" * 256 + b" 1-1 any explicit\n", "package name"),
        (b"a 1 any explicit\n", "package version"),
        (b"a 1-1-1 any explicit\n", "package version"),
        (b"a x:1-1 any explicit\n", "package version"),
        (b"a 1/2-1 any explicit\n", "package version"),
        (b"a 1\x00-1 any explicit\n", "package version"),
        (b"a 1-1 x86-64 explicit\n", "architecture"),
    ],
)
def test_state_parse_malformed_text_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        state.parse(text)


SUM = b"0" * 64


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "empty"),
        (b"a 1-1 any a-1-1-any.pkg.tar " + SUM + b"\n", "6 fields"),
        (b"a 1-1 any ../a.pkg.tar " + SUM + b" 1\n", "file name"),
        (b"a 1-1 any .a.pkg.tar " + SUM + b" 1\n", "file name"),
        (b"a 1-1 any a.pkg.tar " + b"F" * 64 + b" 1\n", "SHA-256"),
        (b"a 1-1 any a.pkg.tar  1\n", "SHA-256"),
        (b"a 1-1 any a.pkg.tar - -1\n", "size"),
        (b"a 1-1 any a.pkg.tar - 01\n", "size"),
        (b"a 1-1 any a.pkg.tar - 1e3\n", "size"),
    ],
)
def test_repository_parse_malformed_text_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        repository.parse(text)


def test_state_text_repeated_is_refused() -> None:
    packages = [InstalledPackage("a", "1-1", "any", "explicit")] * 2
    with pytest.raises(ValueError, match="twice"):
        state.to_text(packages)
