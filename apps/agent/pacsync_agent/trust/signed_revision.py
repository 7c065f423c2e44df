"""The checksums of a target revision that a key of this machine's admin has signed: rule 3 of docs/agent.md.

The keys are in a keyring file of the machine's own: no server can add one, or switch this on. It must not know the
server or what is done with the checksums. Nothing signs a revision yet, so the agent doesn't call this module.

The signed text is UTF-8, every line ends in a newline: first `pacsync-revision 1 POOL NUMBER`, then one line
`name version arch repository filename sha256 size` for each package, sorted by bytes, as docs/protocol.md has it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from apps.fleet.alpm import names
from apps.fleet.alpm.repository import OfferedPackage

from . import signatures

FORMAT = "pacsync-revision 1"
LIMIT = 16 << 20  # bytes of the text
Key = tuple[str, str, str]


class NotSigned(ValueError):
    """No trusted key signed the revision's text; the message says why."""


def checksums(text: bytes, signature: bytes, *, keyring: Path, pool: str, number: int) -> dict[Key, str]:
    """The SHA-256 of each (name, version, arch), from a text signed for exactly this revision of this pool.

    Raises NotSigned (then nothing in the text counts), Local (`program_missing`), OSError (the keyring can't be read).
    """
    if len(text) > LIMIT or len(signature) > signatures.LIMIT:
        raise NotSigned("it is too large")
    with open(keyring, "rb"):
        pass
    with tempfile.TemporaryDirectory(prefix="pacsync-gpg-") as home:
        content, detached = Path(home, "revision"), Path(home, "revision.sig")
        content.write_bytes(text)
        detached.write_bytes(signature)
        checked = signatures.check(content, detached, home=Path(home), keyring=keyring.absolute())
    if not checked.good:
        raise NotSigned(checked.reason)
    return _parse(text, pool, number)


def _parse(text: bytes, pool: str, number: int) -> dict[Key, str]:
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        raise NotSigned("it is not UTF-8") from None
    if lines[0] != f"{FORMAT} {pool} {number}":
        raise NotSigned("it was signed for another revision")
    if lines.pop() != "":
        raise NotSigned("its last line has no end")
    found: dict[Key, str] = {}
    for number_of_line, line in enumerate(lines[1:], 2):
        try:
            key, checksum = _package(line)
        except ValueError as error:
            raise NotSigned(f"line {number_of_line} makes no sense: {error}") from None
        if key in found:
            raise NotSigned(f"line {number_of_line} names {key[0]} again")
        found[key] = checksum
    return found


def _package(line: str) -> tuple[Key, str]:
    fields = line.split(" ")
    if len(fields) != 7 or not fields[6].isascii() or not fields[6].isdigit():
        raise ValueError("it needs 7 fields, the last one a size")
    name, version, arch, repository, filename, sha256, size = fields
    names.check_name(repository)
    OfferedPackage(name, version, arch, filename, sha256, int(size)).check()
    return (name, version, arch), sha256
