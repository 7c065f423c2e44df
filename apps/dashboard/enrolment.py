"""The one line that makes a machine an endpoint: the same on the pages, in `make run` and in the documents.

It must not know which server or code it is for.
"""

import re

_LOOPBACK = re.compile(r"https?://(127\.|localhost(?=[:/]|$)|\[::1\])", re.IGNORECASE)


def command(url: str, code: str) -> str:
    """The shell line that puts the agent of the server at `url` into /usr/local/bin and enrols the machine."""
    path = "/usr/local/bin/pacsync-agent"
    return (
        f"sudo curl -fsSo {path} {url}/agent/pacsync-agent && sudo chmod 755 {path} && "
        f"sudo pacsync-agent enroll --server {url} --code {code}"
    )


def is_loopback(url: str) -> bool:
    """Whether `url` means this machine on every machine, so that no other one gets there."""
    return bool(_LOOPBACK.match(url))
