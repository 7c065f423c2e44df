"""What people read of the server's answers, and of the command's help."""

from typing import Any

import pytest

from apps.agent.pacsync_agent.cli import render
from apps.agent.pacsync_agent.cli.arguments import make_parser
from apps.agent.pacsync_agent.cli.command_list import COMMANDS
from apps.agent.pacsync_agent.operation.ending import EndedOperation
from apps.agent.pacsync_agent.operation.operation_result import OperationResult
from apps.agent.pacsync_agent.terminal.output import Output
from apps.fleet import difference
from apps.fleet.alpm.state import InstalledPackage

KNOWN: dict[str, Any] = {
    "name": "m1",
    "status": "behind",
    "pool": "lab",
    "target": {"number": 2, "approved": True},
    "difference": {"upgrade": 1},
    "server": "http://x",
}


def test_status_says_what_a_sync_would_make_only_where_it_is_known() -> None:
    assert "  a sync would make 1 upgrade" in render.status(KNOWN).splitlines()
    unknown = render.status(KNOWN | {"status": "unknown", "difference": {"upgrade": 0}})
    assert "not comparable with a target" in unknown and "a sync would make" not in unknown


@pytest.mark.parametrize("status", ["behind", "diverged", "unknown", "in_sync"])
def test_status_says_why_where_the_word_does_not_say_it(status: str) -> None:
    known = KNOWN | {"status": status, "why": "It is aarch64."}
    assert ("  It is aarch64." in render.status(known).splitlines()) is (status in {"diverged", "unknown"})


@pytest.mark.parametrize("approved", [True, False, None])
def test_status_says_that_a_target_waits_for_an_approval(approved: bool | None) -> None:
    target = {"number": 2} if approved is None else {"number": 2, "approved": approved}
    said = "  Automatic sync waits until an operator approves revision 2."
    assert (said in render.status(KNOWN | {"target": target}).splitlines()) is (approved is False)


@pytest.mark.parametrize("status", ["succeeded", "failed"])
@pytest.mark.parametrize("code", ["health_check_failed", "files_differ"])
def test_operation_that_an_older_server_takes_for_good_failed_all_the_same(status: str, code: str) -> None:
    outcome = OperationResult("failed", code, "Health command 10-x ended with status 1.", exit=1)
    assert render.exit_of(EndedOperation("sync", outcome, {"status": status})) == 1


def test_operation_whose_end_somebody_changed_names_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """`pacman -D` between the verification and the result: the agent saw nothing wrong, and the server says no."""

    def package(name: str, version: str, reason: str) -> InstalledPackage:
        return InstalledPackage(name, version, "any", reason)

    here = [package("tool", "2-1", "dependency"), package("old", "1-1", "explicit"), package("app", "1-1", "explicit")]
    target = [package("tool", "2-1", "explicit"), package("new", "1-1", "explicit"), package("app", "2-1", "explicit")]
    here += [package(f"x{number:03}", "1-1", "explicit") for number in range(200)]
    changes = difference.compare(here, target)
    differs = {"counts": difference.counts(changes), "changes": difference.as_json(changes[:100])}
    operation = {"status": "failed", "result": {"code": "state_differs", "message": "", "difference": differs}}
    assert render.ended(Output(), "sync", EndedOperation("sync", OperationResult("succeeded"), operation)) == 1
    said = capsys.readouterr().err
    assert "tool as dependency instead of explicit" in said and "no new" in said and "old still installed" in said
    assert "app 1-1 instead of 2-1" in said and "and 194 more" in said and "Somebody ran pacman" in said
    assert "Run `pacsync-agent sync` again." in said


@pytest.mark.parametrize(
    ("server", "more"),
    [
        ({"pool_target": 3}, "; the target is revision 3 now"),
        ({"pool_target": 2}, ""),
        ({"pool_target": None}, ""),
        ({}, ""),
    ],
)
def test_sync_to_what_is_no_target_any_more_says_so(
    capsys: pytest.CaptureFixture[str], server: dict[str, int | None], more: str
) -> None:
    operation = {"status": "succeeded", "pool": "desk", "revision": 2, "plan": {"upgrade": 1}} | server
    assert render.ended(Output(), "sync", EndedOperation("sync", OperationResult("succeeded"), operation)) == 0
    said = capsys.readouterr().out.strip()
    assert said.startswith("In sync with pool desk, revision 2 (") and said.endswith(f"){more}.")


def test_help_of_set_latest_says_who_may(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser(COMMANDS).parse_args(["set-latest", "--help"])
    assert "The endpoint needs the right to set targets" in capsys.readouterr().out


def test_operation_of_a_kind_without_a_sentence_is_not_taken_for_a_sync() -> None:
    with pytest.raises(ValueError, match="cleanup"):
        render.ended(
            Output(), "cleanup", EndedOperation("cleanup", OperationResult("succeeded"), {"status": "succeeded"})
        )
