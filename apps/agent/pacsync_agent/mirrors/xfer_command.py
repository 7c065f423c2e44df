"""Fetches a file by pacman.conf's XferCommand, where a mirror can be reached only that way.

It must not know packages. Only addresses of the machine's own mirrors come here, as pacman itself would ask for them.
"""

from __future__ import annotations

import os
import shlex
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from ..errors import Local
from ..pacman import bounded_process
from ..pacman.configuration import PacmanConf
from .addresses import Address
from .network import Broken, Refusal, Stopped

SLOW = 8.0  # seconds after which a failure is taken for a silent host (pacman's own limit is 10)
Transfer = Callable[[Address, Path, int, float, threading.Event], None]


def of(conf: PacmanConf) -> Optional[Transfer]:
    """The function for network.Network, None if pacman.conf has no XferCommand.

    Raises Local for one that can't work: the agent doesn't bypass it, because the admin wants this way.
    """
    text = next((value for key, value in conf.options if key == "XferCommand"), "")
    if not text:
        return None
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    if not words or "%u" not in text:
        raise Local(
            "pacman_config_invalid",
            "XferCommand of pacman.conf can't be used: "
            + ("it has no %u for the address." if words else "its quotes don't match."),
            "Write it as in `man pacman.conf`, for example `/usr/bin/curl -L -C - -f -o %o %u`, or remove it.",
        )

    def transfer(source: Address, part: Path, most: int, seconds: float, stop: threading.Event) -> None:
        _run(words, source.url, part, most=most, seconds=seconds, stop=stop)

    return transfer


def _run(words: list[str], url: str, part: Path, *, most: int, seconds: float, stop: threading.Event) -> None:
    """Fetch one file. Raises Refusal (the command failed, or the file is too large), Broken (too slow), Stopped.

    Only the command knows what a failure means: a quick one may be a missing file.
    """
    target = part.with_name(f"{part.name}.xfer")  # without %o the command writes the address's last part into here
    target.mkdir(mode=0o700, exist_ok=True)
    output = target / "file"
    command = [word.replace("%o", str(output)).replace("%u", url) for word in words]
    if not any("%o" in word for word in words):
        output = target / url.rpartition("/")[2]
    began = time.monotonic()
    try:
        status = bounded_process.run(command, seconds=seconds, most=most + 1, stop=stop, cwd=target)
        if status is None:
            raise Stopped
        if status != 0 or output.is_symlink() or not output.is_file():
            if time.monotonic() - began > SLOW:
                raise Broken("pacman.conf's XferCommand doesn't get it, and takes long", final=True, slow=True)
            raise Refusal("pacman.conf's XferCommand doesn't get it")
        if output.stat().st_size > most:
            raise Refusal("it is larger than declared")
        os.replace(output, part)
        part.chmod(0o600)
    except bounded_process.TooLong:
        raise Broken("pacman.conf's XferCommand takes too long", final=True, slow=True) from None
    except (FileNotFoundError, PermissionError):
        raise Refusal("pacman.conf's XferCommand can't be started") from None
    finally:
        shutil.rmtree(target, ignore_errors=True)
