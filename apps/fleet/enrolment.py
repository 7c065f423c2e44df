"""The one line that makes a machine an endpoint and keeps it one: the same wherever it is shown.

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


def command(url: str, code: str, sha256: str | None = None) -> str:
    """The shell line that fetches the agent of the server at `url`, enrols the machine and keeps the agent running.

    `sha256` is what the agent has to have, by default that of this server's. Until it is checked nothing of it is run,
    and an agent that is there stays. No word in it needs quotes: a URL is a host and a port, and a code is letters.
    """
    new = "pacsync-agent.new"
    steps = [
        f"cd {DIRECTORY}",
        f"curl -fsSo {new} {url}/agent/pacsync-agent",
        f'echo "{sha256 or agent_file.sha256()}  {new}" | sha256sum -c --quiet',
        f"chmod 755 {new}",
        f"mv {new} pacsync-agent",
        f"./pacsync-agent enroll --server {url} --code {code}",
    ]
    if is_unprotected(url):
        warning = f"warning: {UNPROTECTED.format(url=url)} Ctrl-C within {SECONDS} s stops it; nothing was sent yet."
        steps = [f'echo "{warning}" >&2', f"sleep {SECONDS}", *steps]
    return f"sudo sh -ec '{'; '.join(steps)}'"


def address(url: str) -> str:
    """`url` as `command` takes it. Raises Invalid for what is no http(s) address of a host."""
    stripped = url.rstrip("/")
    if not _ADDRESS.fullmatch(stripped):
        raise Invalid(f"{url!r} is no address of a server: give one like https://pacsync.example:8443.", field="server")
    return stripped


def is_loopback(url: str) -> bool:
    """Whether `url` means this machine on every machine, so that no other one gets there."""
    return bool(_LOOPBACK.match(url))


def is_unprotected(url: str) -> bool:
    """Whether others may read or change what goes between a machine and the server at `url`."""
    return url.startswith("http:") and not is_loopback(url)


def warning(url: str) -> str:
    """What to say of that before anybody runs the line; empty where nothing is to be said."""
    return UNPROTECTED.format(url=url) if is_unprotected(url) else ""
