"""The settings of a run: which machine, where the agent keeps its files, and its credentials.

It must not know what commands do with them.
"""

from __future__ import annotations

import configparser
import dataclasses
import errno
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from .errors import AgentError, Local, NotAuthorized, of_system
from .health_commands.health_settings import TIMEOUT, TOTAL_TIMEOUT, HealthSettings
from .http import proxies
from .http.proxies import Proxy
from .mirrors.retry_schedule import OUTAGE
from .pacman.configuration import PacmanConf
from .system import disk_full, files, own_directory

AGENT_CONFIG = Path("/etc/pacsync-agent.conf")
# Settings of the command line and the file; settings of the file alone.
KEYS = ("config", "root", "dbpath", "state_dir", "server")
_HEALTH_KEYS = ("revert_if_unhealthy", "health_timeout", "health_total_timeout")
OWN_KEYS = ("trust_target_files", "proxy", "protect", "mirror_patience", *_HEALTH_KEYS)
PROTECT = ("default",)  # every role of roles.py
LONGEST = 3600.0  # seconds, of each setting that is a time


@dataclass(frozen=True)
class Options:
    """What the command line and the agent's own configuration file say. None: the default.

    `trust_target_files`: accept files whose checksum only the server names. `proxy`: the proxy to the server.
    `protect`: what no operation may remove: `default`, roles, patterns of package names; empty for nothing.
    `mirror_patience`: for how many seconds mirrors that fail at the moment are asked again. `health`: the limits of the
    machine's health commands, and whether a sync is reverted when one fails.
    """

    config: Optional[Path] = None
    root: Optional[Path] = None
    dbpath: Optional[Path] = None
    state_dir: Optional[Path] = None
    server: Optional[str] = None
    trust_target_files: bool = False
    proxy: Optional[Proxy] = None
    protect: tuple[str, ...] = PROTECT
    mirror_patience: float = OUTAGE
    health: HealthSettings = field(default_factory=HealthSettings)


def load_options(given: dict[str, Optional[str]], agent_config: Optional[str]) -> Options:
    """The command line's values over those of the file. The default file counts only where no machine is named."""
    values: dict[str, Optional[str]] = {}
    if agent_config:
        values = _read_file(Path(agent_config))
    elif not names_machine(given) and AGENT_CONFIG.exists():
        values = _read_file(AGENT_CONFIG)
    values.update({key: value for key, value in given.items() if value})

    def path(key: str) -> Optional[Path]:
        value = values.get(key)
        return Path(os.path.abspath(value)) if value else None

    options = Options(path("config"), path("root"), path("dbpath"), path("state_dir"), values.get("server"))
    return _with_own(options, values)


def of_machine(options: Options, root: Path) -> Options:
    """The options, completed from the agent's file of the machine beneath `root`; for a machine that is named."""
    path = config_of_machine(root)
    return _with_own(options, _read_file(path)) if path.exists() else options


def config_of_machine(root: Path) -> Path:
    """Where the machine beneath `root` has its own file."""
    return root / AGENT_CONFIG.relative_to("/")


def names_machine(given: dict[str, Optional[str]]) -> bool:
    return any(given.get(key) for key in ("config", "root", "dbpath"))


def _with_own(options: Options, values: dict[str, Optional[str]]) -> Options:
    known = values.get("protect")
    return dataclasses.replace(
        options,
        trust_target_files=_is_yes(values, "trust_target_files"),
        proxy=_proxy(values.get("proxy")),
        protect=PROTECT if known is None else tuple(known.replace(",", " ").split()),
        mirror_patience=_seconds(values, "mirror_patience", OUTAGE),
        health=HealthSettings(
            timeout=_seconds(values, "health_timeout", TIMEOUT, least=1),
            total_timeout=_seconds(values, "health_total_timeout", TOTAL_TIMEOUT, least=1),
            reverts=_is_yes(values, "revert_if_unhealthy"),
        ),
    )


def _is_yes(values: dict[str, Optional[str]], name: str) -> bool:
    word = (values.get(name) or "no").lower()
    if word not in {"yes", "no"}:
        raise Local("agent_config_invalid", f"{name} is {word!r}.", "Use yes or no.")
    return word == "yes"


def _seconds(values: dict[str, Optional[str]], name: str, default: float, *, least: int = 0) -> float:
    text = values.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and least <= float(text[:9]) <= LONGEST):
        hint = f"It may be a number of seconds from {least} to {LONGEST:.0f}."
        raise Local("agent_config_invalid", f"{name} is {text!r}.", hint)
    return float(text)


def _proxy(text: Optional[str]) -> Optional[Proxy]:
    """Unlike in curl, the port is required, so that a stray word isn't taken for a proxy."""
    if not text:
        return None
    try:
        proxy = proxies.parse(text)
    except ValueError as error:
        wrong = f"proxy can't be used: {error}."
    else:
        if re.search(r":[0-9]+/?$", text):
            return proxy
        wrong = f"proxy is {text.rpartition('@')[2]!r}."  # without a password
    hint = "Give it as http://[USER:PASSWORD@]HOST:PORT (or socks5h://…)."
    raise Local("agent_config_invalid", wrong, hint)


def _read_file(path: Path) -> dict[str, Optional[str]]:
    parser = configparser.ConfigParser(interpolation=None)
    before = 0  # lines that aren't in the file
    try:
        text = path.read_text(encoding="utf-8")
        try:
            parser.read_string(text)
        except configparser.MissingSectionHeaderError:  # there is only one section, so its header may be left out
            before = 1
            parser.read_string(f"[agent]\n{text}")
    except (OSError, configparser.Error, UnicodeDecodeError) as error:
        raise Local(
            "agent_config_invalid",
            f"{path} can't be read: {_reason(error, before)}.",
            "It may have lines like `trust_target_files = yes`, in a section [agent].",
        ) from None
    if not parser.has_section("agent"):
        parser.add_section("agent")
    known = (*KEYS, *OWN_KEYS)
    sections, names = set(parser.sections()) - {"agent"}, set(parser["agent"]) - set(known)
    if sections or names:
        what = "an unknown section" if sections else "an unknown setting"
        wrong = f"{path} has {what}: {', '.join(sorted(sections or names))}."
        raise Local("agent_config_invalid", wrong, f"Section [agent] may have {', '.join(known)}.")
    return dict(parser["agent"])


def _reason(error: Exception, before: int) -> str:
    """Why the file can't be read, in one clause without its content: that may be a password."""
    if isinstance(error, configparser.ParsingError):
        return f"line {error.errors[0][0] - before} has no `=`"
    if isinstance(error, configparser.DuplicateOptionError):
        return f"{error.option} is there twice"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"section [{error.section}] is there twice"
    return str(error.strerror) if isinstance(error, OSError) else "it is not UTF-8"


def state_dir(options: Options, conf: PacmanConf) -> Path:
    """The agent's own directory: the given one, else one in the machine's root, one for each database in it."""
    return options.state_dir or own_directory.find(conf.root, conf.dbpath)


def make_state_dir(directory: Path) -> None:
    """Make it, writable by root and readable by all: only the credentials and the journal are secret."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        if directory.stat().st_mode & 0o777 == 0o700:  # made under a stricter mask
            directory.chmod(0o755)
        # A name of its own: the service and pacman's hook may get here at the same time.
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        if disk_full.is_it(error) and directory.is_dir():
            return  # it reports anyway; what needs room says so
        if error.errno == errno.EROFS:
            raise of_system(error) from None
        raise Local(
            "state_dir_unusable",
            f"The agent can't keep its files in {directory}: {error.strerror}.",
            "Run it as root, or name another directory with --state-dir.",
        ) from None


@dataclass(frozen=True)
class Credentials:
    """Which server this machine is enrolled at, and its token there.

    `next_token`: the one that it is changing to; empty but for the time of a rotation (checkin/token_rotation.py).
    """

    server: str
    id: str
    name: str
    token: str
    next_token: str = ""


def credentials_path(directory: Path) -> Path:
    return directory / own_directory.CREDENTIALS


def load_credentials(directory: Path) -> Credentials:
    """Raises NotAuthorized when the machine isn't enrolled, Local when the file can't be read."""
    path = credentials_path(directory)
    try:
        values = files.read_json(path)
        if values is not None:
            known = {key: str(values[key]) for key in ("server", "id", "name", "token")}
            return Credentials(**known, next_token=str(values.get("next_token", "")))
    except PermissionError:
        raise Local("not_root", f"Only root may read {path}.", "Run the command as root (sudo).") from None
    except (OSError, ValueError, KeyError) as error:
        raise Local(
            "credentials_invalid",
            f"{path} can't be read: {error}.",
            "Put the file back from a backup; or delete this endpoint on the server, and run "
            "`pacsync-agent enroll --force --server URL --code CODE`.",
        ) from None
    raise NotAuthorized(
        "not_enrolled",
        f"This machine is not enrolled (there is no {path}).",
        "Enrol it: `pacsync-agent enroll --server URL --code CODE`.",
    )


def save_credentials(directory: Path, credentials: Credentials) -> None:
    values = {key: value for key, value in dataclasses.asdict(credentials).items() if value}
    files.write_json(credentials_path(directory), values, mode=0o600)


def kept_tokens(directory: Path, known: Credentials) -> list[str]:
    """The tokens that the file has now; none where it is about another endpoint than `known`, or can't be read.

    Another agent of this machine may have rotated the token, or have died while it did.
    """
    try:
        now = load_credentials(directory)
    except AgentError:
        return []
    same = (now.server, now.id) == (known.server, known.id)
    return [token for token in (now.token, now.next_token) if token] if same else []
