"""What the agent remembers of target revisions, and which automatic operations it doesn't follow."""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent.errors import Refused
from apps.agent.pacsync_agent.server.newest_revision import Revision, RevisionSeen

A, B = "a" * 64, "b" * 64
AUTOMATIC = {"author": "policy:web", "pool": "web", "revision": 3}


def answer(number: int, digest: str = A) -> dict[str, Any]:
    return {"number": number, "digest": digest}


@pytest.fixture
def seen(tmp_path: Path) -> RevisionSeen:
    """Revision 3 of the pool web."""
    made = RevisionSeen(tmp_path)
    assert made.note("web", answer(3)) == ""
    return made


def test_note_remembers_the_newest(seen: RevisionSeen) -> None:
    assert seen.load() == Revision(3, A)
    assert seen.note("web", answer(5, B)) == ""
    assert RevisionSeen(seen.path.parent).load() == Revision(5, B)
    assert seen.note("web", answer(5, B)) == ""


@pytest.mark.parametrize(("number", "digest", "words"), [(2, A, "is older than revision 3"), (3, B, "isn't what")])
def test_note_older_or_another_one_is_said_and_not_taken_up(
    seen: RevisionSeen, number: int, digest: str, words: str
) -> None:
    assert words in seen.note("web", answer(number, digest))
    assert seen.load() == Revision(3, A)


def test_note_another_pool_begins_again(seen: RevisionSeen) -> None:
    assert seen.note("lab", answer(1, B)) == ""
    assert (seen.load("lab"), seen.load("web")) == (Revision(1, B), None)


# What the server wouldn't take back in a check-in is never remembered.
NEVER_SAID = [{"number": number} for number in (0, -1, True, 2**31, 10**15, 10**30, 4.0)]
NEVER_SAID += [{"number": 4, "digest": digest} for digest in ("", "x", "A" * 64, "a" * 65, 7, [])]


@pytest.mark.parametrize("value", [None, 3, {}, {"number": "3"}, *NEVER_SAID])
def test_note_no_revision_changes_nothing(seen: RevisionSeen, value: object) -> None:
    assert seen.note("web", value) == "" and seen.note(None, answer(9)) == ""
    assert seen.load() == Revision(3, A)


def test_accept_takes_up_an_older_one_and_another_one(seen: RevisionSeen) -> None:
    for number, digest in ((2, A), (2, B), (1, B)):
        seen.accept("web", answer(number, digest))
        assert seen.load("web") == Revision(number, digest)
    assert seen.note("web", answer(2)) == ""


@pytest.mark.parametrize("value", [None, {}, *NEVER_SAID])
def test_accept_no_revision_changes_nothing(seen: RevisionSeen, value: object) -> None:
    seen.accept("web", value)
    seen.accept(None, answer(9))
    assert seen.load() == Revision(3, A)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "{}", *(json.dumps({"pool": "web", "number": n}) for n in ("x", 10**15))],
)
def test_load_file_that_makes_no_sense_is_none(seen: RevisionSeen, text: str) -> None:
    seen.path.write_text(text)
    assert seen.load() is None
    assert seen.note("web", answer(1)) == "" and seen.load() == Revision(1, A)


CASES = {
    "the same": (AUTOMATIC, answer(3), True),
    "a newer one": (AUTOMATIC, answer(4, B), True),
    "an older one": (AUTOMATIC, answer(2), False),
    "another one under the number": (AUTOMATIC, answer(3, B), False),
    "the operation's own number, newer": (AUTOMATIC | {"revision": 4}, None, True),
    "the operation's own number, older": (AUTOMATIC | {"revision": 2}, None, False),
    "an older one of another pool": (AUTOMATIC | {"pool": "lab"}, answer(1), True),
    "an older one, for an operator": (AUTOMATIC | {"author": "user:ann"}, answer(1), True),
    "an older one, by hand on the machine": (AUTOMATIC | {"author": "endpoint:m1"}, answer(1), True),
    "a revert": ({"author": "policy:web", "pool": None, "revision": None}, None, True),
}


@pytest.mark.parametrize("case", CASES)
def test_check_automatic_operation(seen: RevisionSeen, case: str) -> None:
    operation, revision, allowed = CASES[case]
    if allowed:
        seen.check(operation, revision)
        return
    with pytest.raises(Refused) as refused:
        seen.check(operation, revision)
    assert refused.value.code == "revision_went_back" and "sync` here" in refused.value.hint


def test_check_nothing_seen_yet_follows(tmp_path: Path) -> None:
    RevisionSeen(tmp_path).check(AUTOMATIC, answer(1))
