"""Completion for bash, zsh and fish, made from the parser.

It must not know what the commands do.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping

from ..command import Command
from ..parser import Parser

PROGRAM = "pacsync-agent"
# How bash, zsh and fish complete a value, by the name that the help has for it.
_BASH_VALUES = (
    ({"FILE"}, "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f"),
    ({"DIR"}, "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d"),
    ({"PACKAGE"}, 'mapfile -t COMPREPLY < <(compgen -W "$(pacman -Qq 2>/dev/null)"'),
)
_ZSH_VALUES = {"FILE": "_files", "DIR": "_files -/", "PACKAGE": "{compadd $(pacman -Qq)}"}
_FISH_VALUES = {"FILE": " -F", "DIR": " -a '(__fish_complete_directories)'", "PACKAGE": " -a '(pacman -Qq)'"}


def _takes_value(option: argparse.Action) -> bool:
    return option.nargs != 0


def _flags(options: Iterable[argparse.Action]) -> list[argparse.Action]:
    return [option for option in options if option.option_strings]


def _choices(parser: Parser) -> list[str]:
    """The words that may stand for the positional argument."""
    return [str(word) for option in parser.options if not option.option_strings for word in option.choices or ()]


def _metavars(parser: Parser, kinds: set[str]) -> list[str]:
    """The flags whose value is a file, or a directory."""
    every = [parser, *parser.commands.values()]
    options = [option for one in every for option in _flags(one.options) if option.metavar in kinds]
    return sorted({flag for option in options for flag in option.option_strings})


def _help(option: argparse.Action) -> str:
    return " ".join((option.help or "").split())


def _bash(parser: Parser) -> str:
    commands = parser.commands
    every = [parser, *commands.values()]
    options = [option for one in every for option in _flags(one.options) if _takes_value(option)]
    valued = {flag for option in options for flag in option.option_strings}
    kinds = [(_metavars(parser, metavars), words) for metavars, words in _BASH_VALUES]
    others = sorted(valued.difference(*(flags for flags, _ in kinds)))
    return "\n".join(
        [
            f"# bash completion of {PROGRAM}",
            "_pacsync_agent() {",
            '  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command="" words number',
            "  for ((number = 1; number < COMP_CWORD; number++)); do",
            "    case ${COMP_WORDS[number]} in",
            f"      {'|'.join(sorted(valued))}) ((number++)) ;;",
            "      -*) ;;",
            "      *) command=${COMP_WORDS[number]}; break ;;",
            "    esac",
            "  done",
            "  case $before in",
            *(_bash_value(flags, words) for flags, words in kinds),
            f"    {'|'.join(others)}) return ;;",
            "  esac",
            "  case $command in",
            _bash_case('""', parser.flags, commands),
            *(_bash_case(name, one.flags, _choices(one)) for name, one in commands.items()),
            '    *) words="" ;;',
            "  esac",
            '  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")',
            "}",
            f"complete -F _pacsync_agent {PROGRAM}",
            "",
        ]
    )


def _bash_value(flags: Iterable[str], words: str) -> str:
    return f'    {"|".join(flags)}) {words} -- "$word"); return ;;'


def _bash_case(name: str, flags: Iterable[str], choices: Iterable[str]) -> str:
    return f'    {name}) words="{" ".join([*choices, *flags])}" ;;'


def _zsh(parser: Parser) -> str:
    commands = parser.commands
    lines = [f"#compdef {PROGRAM}", "", "local context state state_descr line", "typeset -A opt_args", ""]
    lines += ["_arguments -C \\", *_zsh_options(parser), "  '1:command:->command' \\", "  '*::argument:->argument'", ""]
    lines += ["case $state in", "  command)", "    local -a commands=("]
    lines += [f"      {_zsh_word(f'{name}:{_described(one)}')}" for name, one in commands.items()]
    lines += ["    )", "    _describe command commands", "    ;;", "  argument)", "    case $words[1] in"]
    for name, one in commands.items():
        lines += [f"      {name})", "        _arguments \\"]
        lines += [f"        {line}" for line in _zsh_options(one)]
        choices = _choices(one)
        lines += [f"          '1:word:({' '.join(choices)})'"] if choices else ["          && return"]
        lines += ["        ;;"]
    return "\n".join([*lines, "    esac", "    ;;", "esac", ""])


def _described(parser: Parser) -> str:
    return " ".join((parser.description or "").rstrip(".").split())


def _zsh_options(parser: Parser) -> list[str]:
    found = []
    for option in _flags(parser.options):
        for flag in option.option_strings:
            text = re.sub(r"([\[\]:])", r"\\\1", _help(option))
            value = ""
            if _takes_value(option):
                action = _ZSH_VALUES.get(str(option.metavar), "")
                value = f":{str(option.metavar or option.dest).lower()}:{action}"
            found.append(f"  {_zsh_word(f'{flag}[{text}]{value}')} \\")
    return found


def _zsh_word(text: str) -> str:
    quoted = text.replace("'", "'\\''")
    return f"'{quoted}'"


def _fish(parser: Parser) -> str:
    lines = [f"# fish completion of {PROGRAM}", f"complete -c {PROGRAM} -f"]
    for name, one in parser.commands.items():
        lines.append(f"complete -c {PROGRAM} -n __fish_use_subcommand -a {name} -d {_fish_word(_described(one))}")
    lines += _fish_options("__fish_use_subcommand", parser)
    for name, one in parser.commands.items():
        condition = f"__fish_seen_subcommand_from {name}"
        lines += _fish_options(condition, one)
        choices = " ".join(_choices(one))
        lines += [f"complete -c {PROGRAM} -n '{condition}' -a '{choices}'"] if choices else []
    return "\n".join([*lines, ""])


def _fish_options(condition: str, parser: Parser) -> list[str]:
    found = []
    for option in _flags(parser.options):
        for flag in option.option_strings:
            value = ""
            if _takes_value(option):
                value = " -r" + _FISH_VALUES.get(str(option.metavar), "")
            names = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            found.append(f"complete -c {PROGRAM} -n '{condition}' {names}{value} -d {_fish_word(_help(option))}")
    return found


def _fish_word(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{quoted}'"


SHELLS: Mapping[str, Callable[[Parser], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("shell", choices=list(SHELLS), help="the shell")


COMMAND = Command(
    name="completion",
    help="print the completion script for a shell",
    examples=("pacsync-agent completion bash >/usr/share/bash-completion/completions/pacsync-agent",),
    text=lambda parser, arguments: SHELLS[arguments.shell](parser),
    add_arguments=_add_arguments,
)
