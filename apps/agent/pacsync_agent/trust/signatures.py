"""Detached OpenPGP signatures, verified by gpg. It must not know what is signed or why.

pacman itself can't do it here: `-U` goes by LocalFileSigLevel, not by the repository's SigLevel. `pacman-key --verify`
can't either: for it a trusted key is enough, whatever gpg says about the signature.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import Local
from ..pacman.configuration import ENVIRONMENT
from .acceptance import Signature

LIMIT = 16 << 10  # bytes of a signature file, as in libalpm
SECONDS = 600  # for gpg to read the largest package from a slow disk
# gpg's status words for each signature (doc/DETAILS of GnuPG), of which exactly one comes.
_VERDICTS = {"GOODSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "BADSIG", "ERRSIG"}
_REASONS = {
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "its key has expired",
    "REVKEYSIG": "its key was revoked",
    "BADSIG": "it belongs to other content",
    "ERRSIG": "its key is unknown here",
}
_UNTRUSTED = "its key is not trusted here"
_DISABLED = "its key is disabled here"
ABOUT_KEYS = {_REASONS["EXPKEYSIG"], _REASONS["REVKEYSIG"], _REASONS["ERRSIG"], _UNTRUSTED, _DISABLED}
"""The reasons that a newer keyring may resolve."""


@dataclass(frozen=True)
class Checked:
    """gpg's verdict; `reason` is a clause in our own words, empty when the signature is good."""

    signature: Signature
    reason: str = ""

    @property
    def good(self) -> bool:
        return self.signature is Signature.GOOD


def signature_path(package: Path) -> Path:
    return package.with_name(package.name + ".sig")


def check(path: Path, signature: Path, *, home: Path, trust_all: bool = False) -> Checked:
    """Verify `signature` over the file at `path` with gpg's `home`.

    Good: every signature in the file is valid now, by a key that has neither expired nor been revoked or disabled, and
    that is fully trusted there (`trust_all`: any key of the keyring). Raises Local (`program_missing`), OSError.
    """
    if signature.stat().st_size > LIMIT:
        return Checked(Signature.BAD, "it is too large for a signature")
    command = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--no-permission-warning", "--status-fd", "1"]
    command.append("--no-auto-key-retrieve")
    try:
        done = subprocess.run(
            [*command, "--verify", "--", str(signature), str(path)],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
        )
    except FileNotFoundError:
        raise Local(
            "program_missing", "gpg is not installed, so signatures can't be verified.", "Install gnupg."
        ) from None
    except subprocess.TimeoutExpired:
        return Checked(Signature.BAD, f"gpg didn't end within {SECONDS} s")
    checked = judge(done.returncode, done.stdout, trust_all=trust_all)
    if checked.good and _any_disabled(home, done.stdout):
        return Checked(Signature.BAD, _DISABLED)
    return checked


def _any_disabled(home: Path, output: str) -> bool:
    """Whether one of the keys that made these signatures is disabled: gpg accepts its signatures, pacman doesn't.

    `pacman-key --populate` disables the keys in a keyring's list of revoked ones.
    """
    keys = {line.split(" ")[-1] for line in output.splitlines() if line.startswith("[GNUPG:] VALIDSIG ")}
    stamps = [path.stat().st_mtime_ns for path in (home / "trustdb.gpg",) if path.exists()]
    return any(_is_disabled(str(home), key, *stamps) for key in sorted(keys))


@lru_cache(maxsize=1024)
def _is_disabled(home: str, key: str, *stamps: int) -> bool:
    """`key` is the fingerprint of a primary key; `stamps` are the times of gpg's files that say so."""
    command = ["gpg", "--homedir", home, "--batch", "--no-tty", "--no-permission-warning", "--no-auto-check-trustdb"]
    done = subprocess.run(
        [*command, "--with-colons", "--list-keys", key], env=ENVIRONMENT, capture_output=True, text=True
    )
    fields = next((line.split(":") for line in done.stdout.splitlines() if line.startswith("pub:")), [])
    return len(fields) > 11 and "D" in fields[11]  # doc/DETAILS of GnuPG: the key's capabilities


def judge(status: int, output: str, *, trust_all: bool) -> Checked:
    """The verdict in gpg's exit status and status lines."""
    words = [line.split(" ") for line in output.splitlines() if line.startswith("[GNUPG:] ")]
    kinds = [word[1] for word in words if len(word) > 1]
    verdicts = [kind for kind in kinds if kind in _VERDICTS]
    wrong = next((kind for kind in verdicts if kind != "GOODSIG"), "")
    if wrong:
        return Checked(Signature.BAD, _REASONS[wrong])
    good = len(verdicts)
    if not good or status != 0 or kinds.count("VALIDSIG") != good:
        return Checked(Signature.BAD, "it is not a signature of this file")
    trusted = kinds.count("TRUST_FULLY") + kinds.count("TRUST_ULTIMATE")
    if trusted < good and not trust_all:
        return Checked(Signature.BAD, _UNTRUSTED)
    return Checked(Signature.GOOD)
