"""The shell line that enrols a machine and keeps its agent running: the same wherever it is shown.

It must not know which server or code it is for.
"""

import re

from . import agent_file
from .exceptions import Invalid

_LOOPBACK = re.compile(r"https?://(127(\.\d{1,3}){3}|localhost|\[::1\])(?=[:/]|$)", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
DIRECTORY = "/usr/local/bin"
SECONDS = 5
UNPROTECTED = (
    "{url} is plain HTTP: whoever can read the network can read the code and the token, and whoever can change it can "
    "be the server."
)


def command(url: str, code: str, sha256: str | None = None, *, again_as: str = "") -> str:
    """The shell line that fetches the agent of the server at `url`, enrols the machine and keeps the agent running.

    `again_as`: the name of the endpoint that there is already and whose machine enrols again.
    `sha256` is the checksum of the agent, by default of the one that this server hands out. Nothing of the agent runs
    before it is checked, and an installed agent stays until then. No word needs quotes: a URL is a host and a port, and
    a code and a name are letters, digits, dots, hyphens and underscores.
    """
    new, again = "pacsync-agent.new", f" --name {again_as} --force" if again_as else ""
    steps = [
        f"cd {DIRECTORY}",
        f"curl -fsSo {new} {url}/agent/pacsync-agent",
        f'echo "{sha256 or agent_file.sha256()}  {new}" | sha256sum -c --quiet',
        f"chmod 755 {new}",
        f"mv {new} pacsync-agent",
        f"./pacsync-agent enroll --server {url} --code {code}{again}",
    ]
    if is_unprotected(url):
        warning = f"warning: {UNPROTECTED.format(url=url)} Ctrl-C within {SECONDS} s stops it; nothing was sent yet."
        steps = [f'echo "{warning}" >&2', f"sleep {SECONDS}", *steps]
    return f"sudo sh -ec '{'; '.join(steps)}'"


def address(url: str) -> str:
    """`url` as `command` takes it. Raises Invalid unless it is an http(s) address of a host."""
    stripped = url.rstrip("/")
    if not _ADDRESS.fullmatch(stripped):
        raise Invalid(
            f"{url!r} is not the address of a server: give one like https://pacsync.example:8443.", field="server"
        )
    return stripped


def is_loopback(url: str) -> bool:
    """Whether `url` means this machine on every machine, so that no other one gets there."""
    return bool(_LOOPBACK.match(url))


def is_unprotected(url: str) -> bool:
    """Whether others may read or change what goes between a machine and the server at `url`."""
    return url.startswith("http:") and not is_loopback(url)


def warning(url: str) -> str:
    """The warning to show before anybody runs the line; empty if none is needed."""
    return UNPROTECTED.format(url=url) if is_unprotected(url) else ""
