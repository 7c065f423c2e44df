"""Fetches a file by pacman.conf's XferCommand, where a mirror can be reached only that way.

It must not know packages. Only addresses of the machine's own mirrors come here, as pacman itself would ask for them.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from .addresses import Address
from .network import Refusal, Stopped
from .pacman_conf import ENVIRONMENT, PacmanConf

POLL = 0.1  # seconds between two looks at the command

Transfer = Callable[[Address, Path, int, float, threading.Event], None]


def of(conf: PacmanConf) -> Optional[Transfer]:
    """The function for network.Network, None where pacman.conf has no XferCommand that makes sense."""
    text = next((value for key, value in conf.options if key == "XferCommand"), "")
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if not words or "%u" not in text:
        return None

    def transfer(source: Address, part: Path, most: int, seconds: float, stop: threading.Event) -> None:
        _run(words, source.url, part, most=most, seconds=seconds, stop=stop)

    return transfer


def _run(words: list[str], url: str, part: Path, *, most: int, seconds: float, stop: threading.Event) -> None:
    """Raises Refusal (the command failed, or took too much), Stopped."""
    target = part.with_name(f"{part.name}.xfer")  # without %o the command writes the address's last part into here
    target.mkdir(mode=0o700, exist_ok=True)
    output = target / "file"
    command = [word.replace("%o", str(output)).replace("%u", url) for word in words]
    if not any("%o" in word for word in words):
        output = target / url.rpartition("/")[2]
    try:
        process = subprocess.Popen(
            command,
            cwd=target,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # it may show the address with its password
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most + 1, most + 1)),
        )
        _wait(process, seconds, stop)
        if process.returncode != 0 or output.is_symlink() or not output.is_file():
            raise Refusal("pacman.conf's XferCommand doesn't get it")
        if output.stat().st_size > most:
            raise Refusal("it is larger than declared")
        os.replace(output, part)
        part.chmod(0o600)
    except (FileNotFoundError, PermissionError):
        raise Refusal("pacman.conf's XferCommand can't be started") from None
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], seconds: float, stop: threading.Event) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None:
        late = time.monotonic() > deadline
        if late or stop.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if late:
                raise Refusal("pacman.conf's XferCommand takes too long")
            raise Stopped
        time.sleep(POLL)
