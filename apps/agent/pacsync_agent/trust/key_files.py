"""Public keys for `trust`: read from files or pacman's keyring by gpg, and described. It must not know who trusts them.

Only gpg's machine interfaces are read: --with-colons and --status-fd (doc/DETAILS of GnuPG).
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Local, Misused
from ..pacman.configuration import ENVIRONMENT

LIMIT = 1 << 20  # bytes of a file of keys
SECONDS = 60
_USABLE = frozenset("-qnmfuo?")  # validity in --with-colons; i, d, r and e: invalid, disabled, revoked, expired
_UNUSABLE = {"r": "revoked", "e": "expired", "i": "invalid", "d": "disabled"}


@dataclass(frozen=True)
class PublicKey:
    """A primary key. `users` are what it says about its owner, `problem` why it can sign nothing now, or empty."""

    fingerprint: str
    users: tuple[str, ...]
    problem: str
    public: bytes


def run(home: Path, arguments: Sequence[str], data: bytes = b"") -> tuple[int, bytes]:
    """gpg's exit status and output. Raises Local (`program_missing`, `gpg_failed`)."""
    command = [
        "gpg",
        "--homedir",
        str(home),
        "--batch",
        "--no-tty",
        "--no-permission-warning",
        "--no-auto-key-retrieve",
    ]
    command += ["--no-autostart", "--trust-model", "always", *arguments]
    try:
        done = subprocess.run(command, env=ENVIRONMENT, input=data, capture_output=True, timeout=SECONDS)
    except FileNotFoundError:
        raise gpg_missing() from None
    except subprocess.TimeoutExpired:
        raise Local("gpg_failed", f"gpg didn't end within {SECONDS} s.", "Run the command again.") from None
    return done.returncode, done.stdout


def gpg_missing() -> Local:
    return Local("program_missing", "gpg is not installed, so signatures can't be verified.", "Install gnupg.")


@contextlib.contextmanager
def home() -> Iterator[Path]:
    """A private gpg home that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="pacsync-gpg-") as directory:
        yield Path(directory)


def read(data: bytes, known: dict[str, bytes]) -> list[PublicKey]:
    """The keys in `data`, merged with what is already `known` of them (by fingerprint). Raises Local, Misused.

    So a file that has the same key revoked or prolonged brings just that.
    """
    if len(data) > LIMIT:
        raise Misused("key_invalid", f"It has more than {LIMIT} bytes.", "Give the public key alone.")
    with home() as place:
        run(place, ["--import", "--import-options", "import-minimal"], data)
        found = [one.fingerprint for one in _listed(place)]
        for fingerprint in found:
            if fingerprint in known:
                run(place, ["--import"], known[fingerprint])
        return _listed(place)


def describe(keys: dict[str, bytes]) -> list[PublicKey]:
    """These keys as they are now. Raises Local."""
    with home() as place:
        for public in keys.values():
            run(place, ["--import"], public)
        return [one for one in _listed(place) if one.fingerprint in keys]


def of_pacman(gpgdir: Path, fingerprint: str) -> bytes:
    """The key with this fingerprint in pacman's keyring; empty if it isn't there. Raises Local."""
    return run(gpgdir, ["--export", fingerprint])[1]


def _listed(place: Path) -> list[PublicKey]:
    """The primary keys of a gpg home, by --with-colons: `pub`, then its own `fpr`, then `uid` and `sub` records."""
    _, output = run(place, ["--with-colons", "--fixed-list-mode", "--list-keys"])
    records = [line.split(":") for line in output.decode(errors="replace").splitlines()]
    starts = [number for number, fields in enumerate(records) if fields[0] == "pub"]
    ends = [*starts[1:], len(records)]
    return [_key(place, records[start:end]) for start, end in zip(starts, ends)]  # noqa: B905 - Python 3.9 has no strict


def _key(place: Path, records: Sequence[Sequence[str]]) -> PublicKey:
    validity = records[0][1][:1]
    fingerprint = next(fields[9] for fields in records if fields[0] == "fpr")
    users = tuple(_unescaped(fields[9]) for fields in records if fields[0] == "uid")
    problem = "" if validity in _USABLE else _UNUSABLE.get(validity, "not usable")
    return PublicKey(fingerprint, users, problem, run(place, ["--export", fingerprint])[1])


def _unescaped(text: str) -> str:
    return text.replace("\\x3a", ":").replace("\\x5c", "\\")
