"""What a claim may say of a target and its files: each refused with its reason, and nothing is left behind."""

from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent.errors import Failed, Refused
from apps.agent.pacsync_agent.mirrors import addresses
from apps.agent.pacsync_agent.planning import target_check
from apps.agent.pacsync_agent.trust import target_files
from apps.fleet.alpm import state
from apps.fleet.alpm.state import InstalledPackage
from tests.agent.gathering import GatheringMachine
from tests.support.pacman import Package

FILE = "tool-1:2-1-any.pkg.tar.zst"
HOST = "mirror.invalid"

# The address that the server names, and why it is not asked.
URLS = [
    ("file:///etc/shadow", "files count only on mirrors"),
    (f"file:///srv/{FILE}", "files count only on mirrors"),
    (f"FILE:///srv/{FILE}", "files count only on mirrors"),
    ("file:///dev/zero", "files count only on mirrors"),
    (f"file://{HOST}/share/{FILE}", "files count only on mirrors"),
    (f"ftp://{HOST}/{FILE}", "ftp addresses are not supported"),
    (f"gopher://{HOST}/{FILE}", "gopher addresses are not supported"),
    ("data:application/octet-stream,tool", "data addresses are not supported"),
    (f"/srv/{FILE}", "no addresses are not supported"),
    (f"//{HOST}/{FILE}", "no addresses are not supported"),
    ("", "no addresses are not supported"),
    (f"http:///{FILE}", "it makes no sense"),
    (f"http://[::1/{FILE}", "it makes no sense"),
    (f"http://{HOST}:99999/{FILE}", "it makes no sense"),
    (f"http://{HOST}/a b/{FILE}", "it makes no sense"),
    (f"http://{HOST}/\r\nX: y/{FILE}", "it makes no sense"),
    (f"http://{HOST}/\u202e/{FILE}", "it makes no sense"),
    (f"http://\x1b]0;owned\x07/{FILE}", "it makes no sense"),
    (f"http://me:pw@{HOST}/{FILE}", "somebody else's credentials"),
    (f"http://{HOST}/latest/meta-data", "doesn't end in the package's file name"),
    (f"http://{HOST}/?file=/{FILE}", "doesn't end in the package's file name"),
    (f"http://{HOST}/#/{FILE}", "doesn't end in the package's file name"),
    (f"http://{HOST}/other-1-1-any.pkg.tar.zst", "doesn't end in the package's file name"),
    (f"http://{HOST}/x%2F..%2F{FILE}", "doesn't end in the package's file name"),
    (f"http://{HOST}/{FILE}/", "doesn't end in the package's file name"),
    (f"http://{HOST}/{FILE}.sig", "doesn't end in the package's file name"),
]


@pytest.mark.parametrize(("url", "reason"), URLS)
def test_address_of_the_server_that_is_not_asked(url: str, reason: str, package: Package, tmp_path: Path) -> None:
    found, refused = addresses.of_server([url], {FILE})
    assert found == [] and len(refused) == 1 and reason in refused[0]
    assert "pw" not in refused[0] and "\x1b" not in refused[0] and "\r" not in refused[0]
    machine = GatheringMachine(tmp_path, package, f"file://{tmp_path}/none")
    with pytest.raises(Refused) as error:
        machine.gather(url)
    assert error.value.code == "package_unavailable" and reason in error.value.message
    assert machine.left_behind() == []


def test_addresses_without_end_are_cut() -> None:
    many = [f"http://h{number}.invalid/{FILE}" for number in range(1000)]
    assert len(addresses.of_server(many, {FILE})[0]) == addresses.OTHERS
    hints = {"name": "tool", "version": "1:2-1", "arch": "any", "urls": many}
    [found] = target_files.of_packages([InstalledPackage("tool", "1:2-1", "any", "explicit")], [hints])
    assert len(found.urls) == target_files.MOST_URLS


PACKAGE = {"name": "tool", "version": "1:2-1", "arch": "any", "reason": "explicit"}
HINT = {"name": "tool", "version": "1:2-1", "arch": "any", "filename": FILE, "sha256": "a" * 64, "size": 10, "urls": []}

# What the claim says of the package's file.
HINTS: dict[str, dict[str, Any]] = {
    "name that leads out": {"filename": "../../etc/cron.d/x"},
    "absolute name": {"filename": "/etc/cron.d/x"},
    "hidden name": {"filename": ".bashrc"},
    "option as a name": {"filename": "--overwrite=*"},
    "name with a line end": {"filename": "a\nb"},
    "name with a zero": {"filename": "a\0b"},
    "name with an escape": {"filename": "a\x1b[2Jb"},
    "name without end": {"filename": "a" * 100_000},
    "name that is no text": {"filename": ["a"]},
    "size below zero": {"size": -1},
    "size with a fraction": {"size": 0.5},
    "size that is a text": {"size": "10"},
    "size that is true": {"size": True},
    "size of everything": {"size": 10**30},
    "checksum cut off": {"sha256": "a" * 63},
    "checksum in capitals": {"sha256": "A" * 64},
    "checksum that is no text": {"sha256": {"a": 1}},
    "repository that leads out": {"repository": "../core"},
    "repository that is no text": {"repository": 7},
    "addresses that are a text": {"urls": "http://x"},
    "addresses that are numbers": {"urls": [1, 2]},
    "another pkgname that leads out": {"name": "../tool"},
    "version with a slash": {"version": "1/2-1"},
    "version that is no text": {"version": None},
    "architecture with a space": {"arch": "any any"},
}


def claim(hint: dict[str, Any], packages: object = None, digest: str | None = None) -> dict[str, Any]:
    made = [PACKAGE] if packages is None else packages
    target = digest or state.digest_of(state.to_text([InstalledPackage(*PACKAGE.values())]))
    return {"operation": {"target_state": target}, "target": {"packages": made}, "fetch": [hint]}


@pytest.mark.parametrize("case", HINTS)
def test_claim_whose_files_make_no_sense(case: str) -> None:
    assert target_files.hints_of(claim(HINT)) == [HINT]
    with pytest.raises(Failed) as error:
        target_files.hints_of(claim(HINT | HINTS[case]))
    assert error.value.code == "target_invalid"
    assert error.value.message.isprintable() and len(error.value.message) < 400


TARGETS: dict[str, object] = {
    "no list": "tool",
    "numbers": [1],
    "no version": [{"name": "tool"}],
    "name that leads out": [PACKAGE | {"name": "../../tool"}],
    "name with a line end": [PACKAGE | {"name": "a\nb 1-1 any explicit"}],
    "option as a name": [PACKAGE | {"name": "--dbpath=/"}],
    "version of no kind": [PACKAGE | {"version": "1"}],
    "reason of no kind": [PACKAGE | {"reason": "because"}],
    "twice": [PACKAGE, PACKAGE],
    "another set": [PACKAGE | {"version": "2-1"}],
    "nothing": [],
}


@pytest.mark.parametrize("case", TARGETS)
def test_claim_whose_target_makes_no_sense(case: str) -> None:
    assert target_check.goal_of(claim(HINT)) == [InstalledPackage(*PACKAGE.values())]
    with pytest.raises(Failed) as error:
        target_check.goal_of(claim(HINT, TARGETS[case]))
    assert error.value.code == "target_invalid"
