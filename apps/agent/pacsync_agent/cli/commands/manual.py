"""The man page: commands, options and examples from the parser, files and environment variables from here.

It must not know what the commands do.
"""

from __future__ import annotations

import argparse

from ... import __version__
from ..arguments import EXIT_STATUSES
from ..command import Command
from ..parser import Parser

_FILES = (
    ("/etc/pacsync-agent.conf", "The machine's own configuration of the agent, a section [agent]; optional."),
    ("/var/lib/pacsync-agent/", "The agent's own directory: credentials (readable by root alone), journal, status."),
    ("/etc/systemd/system/pacsync-agent*", "The units that `service install` writes, without the package."),
    ("/etc/pacman.conf", "pacman's configuration, which the agent uses as well."),
)
_ENVIRONMENT = (
    ("PACSYNC_ENROLMENT_CODE", "The enrolment code for enroll, if the command line has none."),
    ("NO_COLOR", "If it is set and not empty, the output has no colours."),
    ("http_proxy, https_proxy, all_proxy, no_proxy", "Proxies for mirrors, as pacman's curl reads them."),
)


def page(parser: Parser) -> str:
    """pacsync-agent(8) for `man`."""
    lines = [
        rf'.TH PACSYNC\-AGENT 8 "" "pacsync\-agent {_text(__version__)}" "Pacman Sync Utility"',
        ".SH NAME",
        r"pacsync\-agent \- keep an Arch Linux machine on the packages of its pool",
        ".SH SYNOPSIS",
        r".B pacsync\-agent",
        r"[\fIOPTION\fR]... \fICOMMAND\fR [\fIOPTION\fR]...",
        ".SH DESCRIPTION",
        _text(parser.description or ""),
        ".SH COMMANDS",
    ]
    common = {flag for option in parser.options for flag in option.option_strings}
    for name, command in parser.commands.items():
        lines += [".SS " + _text(_synopsis(name, command, common)), _text(command.description or "")]
        lines += _options([one for one in command.options if not common.intersection(one.option_strings)])
        lines += _epilog(command.epilog or "")
    lines += [".SH OPTIONS", "They may stand before and after the command.", *_options(parser.options)]
    lines += [".SH EXIT STATUS", *_exit_statuses()]
    lines += [".SH ENVIRONMENT", *_list(_ENVIRONMENT), ".SH FILES", *_list(_FILES)]
    return "\n".join([*lines, ".SH SEE ALSO", r".BR pacman (8),", r".BR pacman.conf (5)", ""])


def _text(text: str) -> str:
    """Escaped for roff: no line begins a request, and `-` can be copied."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("'", r"\(aq").replace("`", r"\(ga")
    text = "".join(letter if letter.isascii() else rf"\[u{ord(letter):04X}]" for letter in text)
    return "\n".join(rf"\&{line}" if line.startswith(".") else line for line in text.splitlines())


def _synopsis(name: str, command: Parser, common: set[str]) -> str:
    words = [name]
    for option in command.options:
        if common.intersection(option.option_strings):
            continue
        word = " ".join([*option.option_strings[-1:], *_value(option)])
        words.append(word if option.required else f"[{word}]")
    return " ".join(words)


def _value(option: argparse.Action) -> list[str]:
    if option.nargs == 0:
        return []
    if option.choices and not option.option_strings:
        return ["|".join(map(str, option.choices))]
    return [str(option.metavar or option.dest.upper().replace("_", "-"))]


def _options(options: list[argparse.Action]) -> list[str]:
    lines = []
    for option in options:
        flags = ", ".join(rf"\fB{_text(flag)}\fR" for flag in option.option_strings)
        value = "".join(rf" \fI{_text(word)}\fR" for word in _value(option))
        lines += [".TP", f"{flags}{value}".strip(), _text(_sentence(option.help or ""))]
    return lines


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith((')', '.')) else '.'}"


def _epilog(epilog: str) -> list[str]:
    """A note, and the example as it is written."""
    lines = []
    for part in epilog.replace(EXIT_STATUSES, "").strip().split("\n\n"):
        head, _, rest = part.partition("\n")
        if head == "example:":
            example = "\n".join(line[2:] for line in rest.splitlines())
            lines += [".PP", "Example:", ".PP", ".RS 4", ".nf", _text(example), ".fi", ".RE"]
        elif part:
            lines += [".PP", _text(part)]
    return lines


def _exit_statuses() -> list[str]:
    """The table of the help, line by line."""
    return [".nf", _text("\n".join(line[2:] for line in EXIT_STATUSES.splitlines()[1:])), ".fi"]


def _list(entries: tuple[tuple[str, str], ...]) -> list[str]:
    return [line for name, text in entries for line in (".TP", rf"\fB{_text(name)}\fR", _text(text))]


COMMAND = Command(
    name="manual",
    help="print the man page",
    examples=("pacsync-agent manual | man -l -",),
    text=lambda parser, arguments: page(parser),
)
