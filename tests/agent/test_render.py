"""What people read of the server's answers, and of the command's help."""

from typing import Any

import pytest

from apps.agent.pacsync_agent import cli, render

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
    assert "not comparable yet" in unknown and "a sync would make" not in unknown


@pytest.mark.parametrize("approved", [True, False, None])
def test_status_says_that_a_target_waits_for_an_approval(approved: bool | None) -> None:
    target = {"number": 2} if approved is None else {"number": 2, "approved": approved}
    said = "  Automatic sync waits until an operator approves revision 2."
    assert (said in render.status(KNOWN | {"target": target}).splitlines()) is (approved is False)


def test_help_of_set_latest_says_who_may(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.make_parser().parse_args(["set-latest", "--help"])
    assert "The endpoint needs the right to set targets" in capsys.readouterr().out
