"""vercmp against libalpm itself, and against a table that runs anywhere."""

import ctypes
import ctypes.util
import functools
import itertools
import subprocess
import time
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apps.fleet.alpm.version import vercmp

# Each pair: the first is older. From vercmp(8), pacman's own test (test/util/vercmptest.sh) and real packages.
OLDER = [
    ("1.0a", "1.0b"), ("1.0b", "1.0beta"), ("1.0beta", "1.0p"), ("1.0p", "1.0pre"), ("1.0pre", "1.0rc"),
    ("1.0rc", "1.0"), ("1.0", "1.0.a"), ("1.0.a", "1.0.1"), ("1", "1.0"), ("1.0", "1.1"), ("1.1", "1.1.1"),
    ("1.1.1", "1.2"), ("1.2", "2.0"), ("2.0", "3.0.0"), ("1.5.0-1", "1.5.1-1"), ("1.5.1-1", "1.5.1-2"),
    ("1.5-1", "1.5.1-1"), ("1.5.b-1", "1.5.1-1"), ("1.5b-1", "1.5-1"), ("2.0a", "2.0.a"), ("2.0", "2_0.0"),
    ("0:1.1-1", "1:0.9-1"), ("1.1-1", "1:0.9-1"), ("9:1", "10:1"), ("1.0.9", "1.0.10"), ("1.0-9", "1.0-10"),
    ("1.0-1", "1.0-1.1"), ("5.0.1.r11.gabc-1", "5.0.2.r0.gdef-1"), ("6.0.2-1", "6.0.2.r1.g0f7a1c2-1"),
    ("20241231-1", "20250101-1"), ("1.0alpha", "1.0beta"), ("1.0.", "1.0.1"), ("1", "1."), ("", "1"), ("a", "1"),
    ("1.0+1", "1.0..1"), ("99999999999999999999998", "99999999999999999999999"),
    ("18446744073709551615", "18446744073709551616"),
]  # fmt: skip
EQUAL = [
    ("1.0", "1.0"), ("1.5-1", "1.5"), ("1.5", "1.5-1"), ("0:1.0-1", "1.0-1"), ("1.0.0", "1.00.000"), ("1_0", "1.0"),
    ("1.0-1", "1.0-01"), (":1.0", "1.0"), ("1:1.0-1", "01:1.0"), ("", ""), ("-", "-"), ("0", "00"),
]  # fmt: skip


@pytest.mark.parametrize(("older", "newer"), OLDER)
def test_vercmp_older_and_newer_is_antisymmetric(older: str, newer: str) -> None:
    assert (vercmp(older, newer), vercmp(newer, older)) == (-1, 1)


@pytest.mark.parametrize(("one", "two"), EQUAL)
def test_vercmp_equal_in_order_is_zero(one: str, two: str) -> None:
    assert (vercmp(one, two), vercmp(two, one)) == (0, 0)


@functools.cache
def libalpm() -> Callable[[str, str], int]:
    """libalpm's own comparison, its result as -1, 0 or 1."""
    library = ctypes.CDLL(ctypes.util.find_library("alpm") or "libalpm.so.13")
    compare = library.alpm_pkg_vercmp
    compare.argtypes, compare.restype = [ctypes.c_char_p, ctypes.c_char_p], ctypes.c_int

    def sign(one: str, two: str) -> int:
        result = compare(one.encode(), two.encode())
        return int(result > 0) - int(result < 0)

    return sign


part = st.text("0123456789", max_size=4) | st.sampled_from(
    ["a", "b", "rc", "pre", "alpha", "r11", "gabc", "é", "Z", "0"]
)
separator = st.sampled_from([".", "..", "_", "+", "-", "--", ":", "::", "~", " ", "", "^", "é.", "\t"])
nasty = st.lists(st.tuples(part, separator), max_size=7).map(lambda parts: "".join(itertools.chain(*parts)))
anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@st.composite
def neighbours(draw: st.DrawFn) -> tuple[str, str]:
    """Two versions that differ in little, where the rules are."""
    one = draw(nasty)
    at = draw(st.integers(0, len(one)))
    return one, one[:at] + draw(part | separator) + one[at + draw(st.integers(0, 2)) :]


@pytest.mark.needs("pacman")
@settings(max_examples=4000)
@given(st.tuples(nasty, nasty) | neighbours() | st.tuples(anything, anything))
@example(("1.0", "1.0-"))
@example(("1:", "1"))
@example(("-1", "1-"))
@example(("1..a", "1.a"))
def test_vercmp_any_pair_is_libalpms(pair: tuple[str, str]) -> None:
    assert vercmp(*pair) == libalpm()(*pair)


@pytest.mark.needs("pacman")
def test_vercmp_every_pair_of_the_table_is_libalpms() -> None:
    compare = libalpm()
    words = sorted({word for pair in OLDER + EQUAL for word in pair})
    wrong = [(a, b) for a, b in itertools.product(words, words) if vercmp(a, b) != compare(a, b)]
    assert len(words) > 50 and not wrong


@pytest.mark.needs("vercmp")
@pytest.mark.parametrize(("one", "two"), (OLDER + EQUAL)[::4])
def test_vercmp_the_program_says_the_same(one: str, two: str) -> None:
    said = subprocess.run(["vercmp", one, two], capture_output=True, text=True, check=True).stdout
    assert vercmp(one, two) == int(said)


@given(st.text(), st.text())
@example("\ud800", "\udc80")
@example("1\0002", "1")
@example("٣", "3")
def test_vercmp_any_text_is_ordered_and_never_raises(one: str, two: str) -> None:
    assert vercmp(one, one) == 0
    assert vercmp(one, two) in (-1, 0, 1)


def test_vercmp_digits_of_other_scripts_are_separators() -> None:
    assert vercmp("1.٣", "1.2") == vercmp("1.~~", "1.2") == -1
    assert vercmp("٣:1", "2:1") == vercmp("~~:1", "2:1") == -1


def test_vercmp_bytes_and_text_are_the_same() -> None:
    assert vercmp(b"1.0-1", "1.0-1") == 0
    assert vercmp(b"\xff1", "\udcff1") == 0


@pytest.mark.parametrize(
    "text", ["1." * 200_000, "a1" * 200_000, "0" * 400_000, "." * 400_000, ":" * 400_000, "-" * 400_000]
)
def test_vercmp_very_long_input_takes_linear_time(text: str) -> None:
    start = time.process_time()  # what it computes, however busy the machine is
    assert vercmp(text + "1", text + "2") == -1
    assert time.process_time() - start < 20
