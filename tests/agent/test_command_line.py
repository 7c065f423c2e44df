"""What is said of a wrong command line, and what is made from the parser: completion and the man page."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.cli.arguments import EXIT_STATUSES, make_parser
from apps.agent.pacsync_agent.cli.command_list import COMMANDS
from apps.agent.pacsync_agent.cli.main import main
from apps.agent.pacsync_agent.cli.parser import Parser
from apps.agent.pacsync_agent.terminal import colours
from tests.support import agent

NAMES = [command.name for command in COMMANDS]


@pytest.mark.parametrize(
    ("arguments", "usage", "said"),
    [
        (["snyc"], "usage: pacsync-agent [", "there is no command 'snyc'; did you mean sync?"),
        (["xyzzy"], "usage: pacsync-agent [", "there is no command 'xyzzy'."),
        (["sync", "--repiar"], "usage: pacsync-agent sync", "there is no --repiar here; did you mean --repair?"),
        (["status", "--repair"], "usage: pacsync-agent status", "there is no --repair here; `sync` has it."),
        (["diff", "--force-remove=x"], "usage: pacsync-agent diff", "`sync` and `revert` have it."),
        (["sync", "now"], "usage: pacsync-agent sync", "there is no place for 'now' here."),
        (["service"], "usage: pacsync-agent service", "the following arguments are required: action."),
        (
            ["enroll", "--code", "a", "--code-file", "b"],
            "usage: pacsync-agent enroll",
            "not allowed with argument --code.",
        ),
        (["sync", "--wait", "soon"], "usage: pacsync-agent sync", "invalid float value: 'soon'."),
        (["service", "instal"], "usage: pacsync-agent service", "did you mean install?"),
        (["service", "xyzzy"], "usage: pacsync-agent service", "invalid choice: 'xyzzy'"),
        (["completion", "bsh"], "usage: pacsync-agent completion", "did you mean bash?"),
        (["completion", "tcsh"], "usage: pacsync-agent completion", "(choose from "),
        ([], "usage: pacsync-agent [", "the following arguments are required: COMMAND."),
    ],
)
def test_wrong_command_line_shows_the_usage_of_its_command_and_what_was_meant(
    arguments: list[str], usage: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    err = capsys.readouterr().err
    assert ended.value.code == 2
    assert err.startswith(usage) and said in err, err
    assert "--help` says what there is." in err.splitlines()[-1]


def options(parser: Parser) -> Iterator[tuple[str, str]]:
    """(command, flag) of every option that the parser knows."""
    for name, command in parser.commands.items():
        for flag in command.flags:
            yield name, flag


def completed(script: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    asked = f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1}; _pacsync_agent"
    code = f"compopt() {{ :; }}; {asked}; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-uc", code], capture_output=True, text=True, check=True)
    assert done.stderr == "", done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script as the built agent prints it: no pacman, and no configuration, is needed for that."""
    path = tmp_path_factory.mktemp("completion") / "pacsync-agent"
    command = ["python3", str(agent.agent_path()), "completion", "bash"]
    path.write_text(
        subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin"}).stdout
    )
    return path


def test_bash_completes_commands_and_the_options_of_each(bash: Path) -> None:
    assert set(NAMES) <= set(completed(bash, "pacsync-agent", ""))
    assert completed(bash, "pacsync-agent", "se") == ["service", "set-latest"]
    for name in NAMES:
        offered = completed(bash, "pacsync-agent", name, "--")
        known = {flag for command, flag in options(make_parser(COMMANDS)) if command == name and flag.startswith("--")}
        assert set(offered) == known, name
    assert completed(bash, "pacsync-agent", "completion", "f") == ["fish"]
    assert completed(bash, "pacsync-agent", "service", "re") == ["remove"]


def test_bash_takes_no_value_for_a_command_and_completes_paths(bash: Path, tmp_path: Path) -> None:
    (tmp_path / "my root").mkdir()
    (tmp_path / "my.conf").touch()
    assert completed(bash, "pacsync-agent", "--server", "revert", "di") == ["diff"]
    assert completed(bash, "pacsync-agent", "--root", f"{tmp_path}/my") == [f"{tmp_path}/my", "root"]
    assert f"{tmp_path}/my.conf" in completed(bash, "pacsync-agent", "sync", "--config", f"{tmp_path}/my.")
    assert completed(bash, "pacsync-agent", "enroll", "--code", "s") == []
    assert completed(bash, "pacsync-agent", "enroll", "--code-file", f"{tmp_path}/my.") == [f"{tmp_path}/my.conf"]


@pytest.mark.needs("zsh")
def test_zsh_reads_its_completion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "zsh"]) == 0
    (tmp_path / "_pacsync-agent").write_text(capsys.readouterr().out)
    script = tmp_path / "complete.zsh"
    script.write_text(ZSH.replace("HERE", str(tmp_path)))
    done = subprocess.run(["zsh", "-f", script], capture_output=True, text=True, timeout=60)
    for word in ("revert", "--report-only", "--force-remove", "fish"):
        assert word in done.stdout, (word, done.stdout, done.stderr)


# zsh completes in a terminal only; the module zsh/zpty has one. `zpty -r` waits until the pattern has come.
ZSH = r"""
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1=; fpath=(HERE \$fpath); autoload -Uz compinit; compinit -u -D; LISTMAX=10000; print read''y"
zpty -r z part "*ready*"
for line expected in "" revert "once --" --report-only "sync --" --force-remove "completion " fish; do
  zpty -w -n z "pacsync-agent $line"$'\t\t'
  zpty -r z part "*$expected*"
  print -r -- "$part"
  zpty -w -n z $'\C-u'
done
zpty -d z
"""


@pytest.mark.needs("fish")
def test_fish_completes_commands_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "fish"]) == 0
    script = tmp_path / "pacsync-agent.fish"
    script.write_text(capsys.readouterr().out)

    def offered(line: str) -> list[str]:
        command = ["fish", "--no-config", "-c", f"source {script}; complete -C '{line}'"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"HOME": str(tmp_path)})
        return [found.split("\t")[0] for found in done.stdout.splitlines()]

    assert set(offered("pacsync-agent ")) >= set(NAMES)
    for name, flag in options(make_parser(COMMANDS)):
        if flag.startswith("--"):
            assert flag in offered(f"pacsync-agent {name} {flag[:-1]}") or flag == "--help", (name, flag)
    assert "fish" in offered("pacsync-agent completion ") and "remove" in offered("pacsync-agent service ")


@pytest.mark.needs("groff")
def test_man_page_has_every_command_and_option_and_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manual"]) == 0
    page = capsys.readouterr().out
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-rLL=200n"], input=page, capture_output=True, text=True, check=True
    )
    assert done.stderr == "", done.stderr
    bare = subprocess.run(["col", "-bx"], input=done.stdout, capture_output=True, text=True, check=True).stdout
    parser = make_parser(COMMANDS)
    for name, command in parser.commands.items():
        assert f"\n   {name}" in bare, name
        for option in command.options:
            assert all(flag in bare for flag in option.option_strings), option
    assert "sudo pacsync-agent enroll --server https://pacsync.lan --code psc_…" in bare
    assert "service install|remove" in bare and "PACSYNC_ENROLMENT_CODE" in bare
    assert all(line.strip() in bare for line in EXIT_STATUSES.splitlines()[1:])


@pytest.mark.parametrize(
    ("environment", "expected"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True), ({"TERM": "dumb"}, False)],
)
def test_colours_are_for_terminals_that_want_them(environment: dict[str, str], expected: bool) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    assert colours.wanted(Terminal(), environment) is expected  # type: ignore[arg-type]
    assert colours.wanted(None, environment) is False


def test_colours_leave_the_text_as_it_is() -> None:
    text = "m1: behind the target (pool lab, revision 2)\n  + new    1-1\n  - gone  2-1\n  ↑ tool  1-1 → 2-1"
    painted = colours.of_result(text)
    assert painted.count("\033[0m") == 4
    assert "\033[32m+\033[0m new" in painted and "\033[33mbehind the target\033[0m" in painted
    plain = painted
    for code in ("\033[0m", *(f"\033[{colour}m" for colour in ("31", "32", "33", "34"))):
        plain = plain.replace(code, "")
    assert plain == text
