"""`service install` and `service remove`: the agent runs now and from each start of the machine, or no longer.

It writes the files that the package would install, to where an admin's own files go. Where the package is installed, it
writes nothing. It must not know what the agent does when it runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ... import settings
from ...errors import Exit, Failed, Local, Refused
from ...service import service_files, service_place, service_writing
from ...service.service_files import HOOK, SERVICE, TIMER, UNITS, WAITS_FOR_PACMAN
from ...service.systemd import Systemd
from ...system import files
from ..call import Call
from ..command import Command
from ..parser import Parser

INSTEAD = "Have `pacsync-agent run` started by whatever starts programs here: an init, or the container's entry point."


@dataclass(frozen=True)
class Kept:
    """How the agent is kept running: `state` is running, enabled (from the next boot on) or waiting (not enrolled)."""

    state: str
    text: str
    files: tuple[Path, ...] = ()


def service(call: Call) -> int:
    """`service install` or `service remove`."""
    action = call.arguments.action
    kept = install(call) if action == "install" else remove(call)
    written = [str(path) for path in kept.files]
    call.output.result(kept.text, command="service", action=action, state=kept.state, files=written)
    return Exit.OK


def install(call: Call, *, again: bool = False) -> Kept:
    """Write, enable and start. `again`: restart an agent that runs. Raises AgentError, OSError."""
    systemd, paths = _machine(call, "install")
    given = {name: getattr(call.arguments, name, None) for name in ("config", "dbpath", "state_dir", "agent_config")}
    setting = service_place.setting(call.conf, call.state_dir, given)
    by_package = service_place.is_packaged(call.conf.root) and setting.is_packaged
    texts = {} if by_package else {name: service_files.adapted(name, setting) for name in paths}
    _refuse_others([paths[name] for name in texts])
    timed = systemd.is_enabled(TIMER)
    unit = TIMER if timed else SERVICE
    leaving = [] if texts else _ours(paths.values())
    if leaving:  # what they enabled leads to them
        systemd.run("disable", SERVICE, TIMER)
        _remove(leaving)
    with service_writing.all_or_nothing({paths[name]: text for name, text in texts.items()}, systemd, unit) as new:
        written = [name for name in texts if paths[name] in new]
        if systemd.is_running and (leaving or written):
            systemd.run("daemon-reload")
        systemd.run("enable", unit)
    if not systemd.is_running:
        return Kept("enabled", _text_enabled(call, unit), tuple(paths[name] for name in written))
    changed = again or leaving or {*written} - {HOOK}
    systemd.run("restart" if changed else "start", unit)
    state, text = _started(call, systemd, unit)
    return Kept(state, text, tuple(paths[name] for name in written))


def remove(call: Call) -> Kept:
    """Stop, disable, and remove what `install` wrote. Raises AgentError, OSError."""
    systemd, paths = _machine(call, "remove")
    ours = _ours(paths.values())
    by_package = service_place.is_packaged(call.conf.root)
    if not ours and not by_package:
        return Kept("none", "There is no service of the agent that could be removed: nothing was changed.")
    now = ["--now"] if systemd.is_running else []
    known = [name for name in (SERVICE, TIMER) if by_package or paths[name] in ours]
    if known:
        systemd.run("disable", *now, *known)
    if systemd.is_running:  # it waits for a pacman of the agent: nobody waits for it
        systemd.try_to_run("stop", "--no-block", WAITS_FOR_PACMAN)
    _remove(ours)
    if systemd.is_running:
        systemd.run("daemon-reload")
        systemd.try_to_run("reset-failed", *UNITS)
    stays = " The files of package pacsync-agent stay." if by_package else ""
    enrolled = " The machine stays enrolled, and the server will call it offline." if _is_enrolled(call) else ""
    return Kept("none", f"The agent no longer runs automatically.{stays}{enrolled}", tuple(ours))


def _machine(call: Call, what: str) -> tuple[Systemd, dict[str, Path]]:
    """Its systemd, and where our files are on it. Raises Local where there is none, or this isn't root."""
    root = call.conf.root
    systemd = Systemd(root)
    if not systemd.is_installed:
        raise _without_systemd(what)
    if os.path.realpath(root) == "/" and os.geteuid() != 0:
        raise Local("not_root", f"Only root may {what} the service.", "Run the command as root (sudo).")
    return systemd, service_files.paths(root, service_place.hook_dir(call.conf))


def _without_systemd(what: str) -> Local:
    text = f"There is no systemd on this machine, so there is no service{' to remove' if what == 'remove' else ''}."
    hint = "If something else starts `pacsync-agent run` here, remove it there."
    return Local("systemd_missing", text, hint if what == "remove" else INSTEAD)


def _refuse_others(paths: Iterable[Path]) -> None:
    others = [path for path in paths if os.path.lexists(path) and not service_files.is_ours(path)]
    if others:
        masked = any(path.is_symlink() and os.readlink(path) == os.devnull for path in others)
        raise Refused(
            "service_file_exists",
            f"Somebody else's file is where the service would have its own: {', '.join(map(str, others))}.",
            "`systemctl unmask` brings a masked unit back."
            if masked
            else "Move it away; or keep it, and start the agent by it: `enroll --no-service` leaves it alone.",
        )


def _ours(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if service_files.is_ours(path)]


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        files.remove(path)
        if path.name.endswith(".hook") and not any(path.parent.iterdir()):
            path.parent.rmdir()  # no package has it: install made it


def _started(call: Call, systemd: Systemd, unit: str) -> tuple[str, str]:
    """What came of the start, and in words."""
    if not _is_enrolled(call):
        return "waiting", f"{unit} is enabled, and waits for `pacsync-agent enroll`."
    if not systemd.is_active(unit):
        raise Failed("service_failed", f"{unit} was started, and ended at once.", f"See `systemctl status {unit}`.")
    what = "asks the server every five minutes" if unit == TIMER else "keeps the agent running"
    return "running", f"{unit} {what}, now and after each start of the machine; each pacman is reported at once."


def _is_enrolled(call: Call) -> bool:
    return settings.credentials_path(call.state_dir).exists()


def _text_enabled(call: Call, unit: str) -> str:
    where = "" if os.path.realpath(call.conf.root) == "/" else f" beneath {call.conf.root}"
    return (
        f"systemd isn't running here, so {unit} begins with the next start of the machine{where}. Where systemd never "
        f"runs, as in a container, it won't. {INSTEAD}"
    )


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("action", choices=("install", "remove"), help="install, or undo all of that")


COMMAND = Command(
    name="service",
    help="keep the agent running, now and after each boot; or stop doing so",
    examples=("sudo pacsync-agent service install", "sudo pacsync-agent service remove"),
    run=service,
    add_arguments=_add_arguments,
    note=(
        "`install` writes systemd units to /etc/systemd/system and a hook to pacman's hook directory (or uses the\n"
        "package's own), enables the service and starts it. `enroll` does so, too."
    ),
)
