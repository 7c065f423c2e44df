"""What is said of downloads that failed: packages and cause in the first line, addresses below, a hint for anybody."""

import dataclasses
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Unreachable
from apps.agent.pacsync_agent.gather import unreachable_files
from apps.agent.pacsync_agent.mirrors.network import GONE, MIRROR, NETWORK, NotThere, Refusal
from apps.agent.pacsync_agent.packages.package_file import Wanted
from apps.agent.pacsync_agent.pacman.configuration import Repository
from apps.agent.pacsync_agent.terminal.output import Output
from tests.agent.gathering import NEVER, GatheringMachine
from tests.support.hostile import Hostile
from tests.support.pacman import Fleet

NAMES = ("hold", "libfoo", "tool")


def failure(tmp_path: Path, *mirrors: str, names: tuple[str, ...] = NAMES) -> Unreachable:
    """What comes of downloading these packages, for real."""
    fleet = Fleet(tmp_path / "fleet")
    made = [fleet.package(name, "1.1-1") for name in names]
    machine = GatheringMachine(tmp_path, made[0], mirrors[0])
    machine.conf = dataclasses.replace(machine.conf, repositories=(Repository("core", mirrors, NEVER),))
    machine.offer(made)
    with pytest.raises(Unreachable) as caught:
        machine.gatherer().gather([Wanted(one.name, one.version, one.arch, repository="core") for one in made])
    return caught.value


def test_failed_download_begins_with_packages_and_cause(tmp_path: Path) -> None:
    with Hostile(lambda peer: peer.answer(status="404 Not Found")) as other:
        error = failure(tmp_path, "http://mirror.invalid/repo", other.url)
    first, title, *addresses = error.message.split("\n")
    assert first == (
        "hold 1.1-1, libfoo 1.1-1 and tool 1.1-1 could not be downloaded: the name mirror.invalid can't be resolved, "
        "and the other addresses don't have them."
    )
    assert title == "The addresses of hold 1.1-1:"
    assert addresses[0].startswith("http://mirror.invalid/repo/hold-1.1-1-") and len(addresses) == 2
    assert addresses[1].endswith(": not there")
    assert error.code == "network_failed" and "name service" in error.hint
    assert "If you typed the command, run it again; what the server asked for is tried again" in error.hint


def test_failed_download_of_one_package_by_mirrors_that_fail_says_so(tmp_path: Path) -> None:
    with Hostile(lambda peer: peer.answer(status="503 Oh")) as one, Hostile(lambda peer: peer.silence()) as two:
        error = failure(tmp_path, one.url, two.url, names=("tool",))
    host = one.url.partition("://")[2].partition("/")[0]
    assert error.message.partition("\n")[0] == (
        f"tool 1.1-1 could not be downloaded: {host} answers 503, and 1 other host fails."
    )
    assert error.code == "mirror_failed"


def refused(count: int, *refusals: tuple[str, Refusal]) -> dict[Wanted, NotThere]:
    return {Wanted(f"p{number:02}", "1-1", "any"): NotThere(refusals) for number in range(count)}


def first_line(count: int, *refusals: tuple[str, Refusal]) -> str:
    error = unreachable_files.failure(refused(count, *refusals))
    assert error is not None
    return error.message.partition("\n")[0]


@pytest.mark.parametrize(
    ("refusal", "clause"),
    [
        (Refusal("its certificate is not valid", kind=NETWORK), "the certificate of m.lan:8 is not valid"),
        (Refusal("the connection broke off", kind=NETWORK), "the connection to m.lan:8 broke off"),
        (Refusal("no answer in time", kind=NETWORK), "m.lan:8 doesn't answer in time"),
        (Refusal("it refuses connections", kind=NETWORK), "m.lan:8 refuses connections"),
        (Refusal("it answers 429 (Retry-After: 5 s)"), "m.lan:8 answers 429 (Retry-After: 5 s)"),
        (Refusal("it is another package"), "m.lan:8: it is another package"),
        (Refusal("passed over after errors", kind=NETWORK, cause="it answers 500"), "m.lan:8 answers 500"),
    ],
)
def test_cause_says_whose_it_is(refusal: Refusal, clause: str) -> None:
    assert first_line(1, ("https://m.lan:8/tool", refusal)) == f"p00 1-1 could not be downloaded: {clause}."


def test_failed_download_names_ten_packages_at_most_and_a_mirror_before_the_network() -> None:
    text = first_line(
        12,
        ("https://a.lan/x", Refusal("its name can't be resolved", kind=NETWORK)),
        ("https://b.lan/x", Refusal("it answers 500", kind=MIRROR)),
        ("https://c.lan/x", Refusal("not there", kind=GONE)),
    )
    assert text.endswith(
        "p09 1-1 and 2 more could not be downloaded: b.lan answers 500, 1 other host fails, and the other addresses "
        "don't have them."
    )


def test_failed_databases_name_the_packages_first() -> None:
    error = unreachable_files.databases({"core": "no mirror gives it"}, ["tool 1-1", "libfoo 1-1"])
    assert error.message == (
        "Nothing that this machine trusts vouches for libfoo 1-1 and tool 1-1, and the current database of core, which "
        "might, can't be fetched: no mirror gives it."
    )


def test_lines_of_a_message_are_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error(Unreachable("x", "first\nsecond", "hint"))
    assert capsys.readouterr().err == "error: first\n       second\n       hint\n"
