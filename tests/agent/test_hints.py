"""A hint that is followed as it is written is about the machine that the command line named, not about the host."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent.cli.arguments import make_parser
from apps.agent.pacsync_agent.cli.command_list import COMMANDS
from apps.agent.pacsync_agent.terminal.hints import Hints
from tests.support import agent
from tests.support.pacman import Fleet


def hints(*arguments: str) -> Hints:
    return Hints(make_parser(COMMANDS).parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "text", "expected"),
    [
        (
            ["sync"],
            "Run `pacman -Rdd a`, then `pacsync-agent sync`.",
            "Run `pacman -Rdd a`, then `pacsync-agent sync`.",
        ),
        (["sync", "--root", "/mnt"], "Run `pacman -Rdd a`.", "Run `pacman -Rdd a --root /mnt`."),
        (
            ["--config", "/a b", "sync", "--state-dir", "/s", "--dbpath", "/d"],
            "`pacsync-agent once` `pacman -D`",
            "`pacsync-agent once --config '/a b' --dbpath /d --state-dir /s` `pacman -D --config '/a b' --dbpath /d`",
        ),
        (["sync", "--root", "/mnt"], "Free some, for example with `paccache -r`.", None),
        (["sync", "--root", "/mnt"], "pacman could not do it.", None),
    ],
)
def test_commands_of_a_hint_name_the_machine(arguments: list[str], text: str, expected: str | None) -> None:
    assert hints(*arguments).for_machine(text) == (expected or text)


@pytest.mark.needs("pacman")
def test_hint_of_a_machine_that_is_not_enrolled_enrols_that_machine(tmp_path: Path) -> None:
    """Followed without the option, the host would be enrolled."""
    fleet = Fleet(tmp_path)
    fleet.snapshot("2025/01/01", [])
    machine = fleet.machine("m", "2025/01/01")
    done = agent.run(machine, "once").refused(4)
    assert f"`pacsync-agent enroll --server URL --code CODE --config {machine.config}`" in done.err


def test_own_configuration_of_the_machine_is_named() -> None:
    made = hints("sync", "--root", "/mnt")
    made.agent_config = "/mnt/etc/pacsync-agent.conf"
    said = made.for_machine("set `protect` in /etc/pacsync-agent.conf")
    assert said == "set `protect` in /mnt/etc/pacsync-agent.conf"
