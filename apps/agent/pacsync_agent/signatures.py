"""Package signatures, verified by pacman's own tools with the machine's own keyring. It must not know downloads.

pacman itself can't do it here: `-U` looks at LocalFileSigLevel, not at what the repository wants.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from .errors import Local
from .pacman_conf import ENVIRONMENT, PacmanConf, SigLevel


def signature_path(package: Path) -> Path:
    return package.with_name(package.name + ".sig")


def problem(conf: PacmanConf, level: SigLevel, package: Path) -> str:
    """What is wrong with the signature beside the package: empty when it is good, and by a key that the keyring trusts.

    With TrustAll any key of the keyring will do.
    """
    signature = signature_path(package)
    if level.trust_all:
        command = ["gpg", "--homedir", str(conf.gpgdir), "--batch", "--status-fd", "1", "--verify"]
        done = _run([*command, str(signature), str(package)])
        good = done.returncode == 0 and "[GNUPG:] VALIDSIG " in done.stdout
    else:
        done = _run(["pacman-key", "--gpgdir", str(conf.gpgdir), "--verify", str(signature), str(package)])
        good = done.returncode == 0
    if good:
        return ""
    said = [line.replace("==> ERROR: ", "").strip() for line in done.stderr.splitlines() if line.strip()]
    return said[-1] if said else f"{done.args[0]} ended with status {done.returncode}"


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, env=ENVIRONMENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError:
        raise Local("program_missing", f"{command[0]} is not installed, so signatures can't be verified.") from None
