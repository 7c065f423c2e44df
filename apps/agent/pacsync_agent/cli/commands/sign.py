"""`sign`: signs the text of a target revision with the operator's own key. It must not know servers.

The text comes from a server that may be stolen, so a person sees what it says before gpg signs exactly these bytes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

from apps.fleet.alpm import openpgp, revision_document
from apps.fleet.alpm.revision_document import RevisionDocument, time_text

from ...databases import local_db
from ...errors import Exit, Failed, Misused, Refused
from ...planning import plan
from ...system import files
from ...terminal.listing import listed, named
from ...trust.key_files import gpg_missing
from ..call import Call
from ..command import Command
from ..confirmation import add_yes, confirm
from ..parser import Parser

MOST_OFF = 86400  # seconds between the time in the text and this machine's clock


def sign(call: Call) -> int:
    """Show what the text says, and sign it beside it; the exit status. Raises AgentError, OSError."""
    path = Path(call.arguments.document)
    with open(path, "rb") as file:
        text = file.read(revision_document.LIMIT + 1)
    try:
        document = revision_document.parse(text)
    except ValueError as error:
        raise Misused(
            "document_invalid",
            f"{path} is not the text of a revision: {error}.",
            "Download it again, exactly as it is: from the revision's page, or by the API.",
        ) from None
    _check_time(document)
    digest = hashlib.sha256(text).hexdigest()
    confirm(call, "\n".join([*_summary(call, document), f"  SHA-256 of the text: {digest}"]), "Sign this?")
    output = path.with_name(f"{path.name}.asc")
    files.write_atomically(output, _signature(text, call.arguments.key), 0o644)
    call.output.result(
        f"Signed: {output}. Upload it with {path.name} on the revision's page.",
        command="sign",
        pool=document.pool,
        number=document.number,
        document=str(path),
        signature=str(output),
        sha256=digest,
    )
    return Exit.OK


def _check_time(document: RevisionDocument) -> None:
    """Raise Refused where the text's times don't fit this machine's clock: a server wrote them."""
    now = int(time.time())
    if abs(document.created - now) > MOST_OFF or document.expires <= now:
        raise Refused(
            "document_dated",
            f"The text says that it was made {time_text(document.created)} and is good until "
            f"{time_text(document.expires)}, but it is {time_text(now)} here.",
            "Download a new one. If this machine's clock is wrong, set it.",
        )


def _summary(call: Call, document: RevisionDocument) -> list[str]:
    known = sum(one.file is not None and one.file.sha256 is not None for one in document.packages)
    lines = [
        f"Revision {document.number} of pool {document.pool_name} ({document.pool})",
        f"  made {time_text(document.created)}, good until {time_text(document.expires)}",
        f"  {len(document.packages)} packages, {known} with the checksum of their file",
    ]
    for word, found in (
        ("left alone", [f"{name} ({why})" for name, why in document.left]),
        ("excluded", list(document.excluded)),
        ("removed where it is installed", list(document.removed)),
    ):
        if found:
            lines.append(f"  {word}: {listed(found)}")
    return [*lines, f"  {_compared(call, document)}"]


def _compared(call: Call, document: RevisionDocument) -> str:
    """How this machine's own packages differ from the text, in a sentence."""
    try:
        installed = local_db.read(call.conf.dbpath)
    except OSError:
        return "This machine has no package database to compare it with."
    here = {package.as_installed() for package in installed.values()}
    there = {one.package for one in document.packages}
    names = {package.name for package in here ^ there}
    names -= {name for name, _ in document.left}
    names -= set(plan.matching(names, document.excluded))
    if not names:
        return "This machine has exactly these packages."
    return f"This machine has other packages than the text: {named(names)}."


def _signature(text: bytes, key: str) -> bytes:
    """The armored signature over these bytes, by gpg with the keys of whoever runs this. Raises Failed, Local."""
    command = ["gpg", *(["--local-user", key] if key else []), "--digest-algo", "SHA256", "--armor"]
    command += ["--output", "-"]
    try:
        # The text isn't read from the file again: it is what was shown.
        done = subprocess.run([*command, "--detach-sign"], input=text, stdout=subprocess.PIPE, env=_environment())
    except FileNotFoundError:
        raise gpg_missing() from None
    try:
        if done.returncode == 0:
            openpgp.signature(done.stdout)
            return done.stdout
        why = f"it ended with status {done.returncode}"
    except ValueError as error:
        why = str(error)
    raise Failed("sign_failed", f"gpg didn't sign: {why}.", "Look at what gpg said; --key names another key.")


def _environment() -> dict[str, str]:
    """With the terminal on which gpg's agent asks for a passphrase: standard input has the text."""
    environment = dict(os.environ)
    for handle in (0, 2):
        if "GPG_TTY" not in environment and os.isatty(handle):
            environment["GPG_TTY"] = os.ttyname(handle)
    return environment


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("document", metavar="FILE", help="the text of the revision, as the server gave it")
    parser.add_argument("--key", default="", metavar="KEY", help="the key to sign with (default: gpg's own default)")
    add_yes(parser)


COMMAND = Command(
    name="sign",
    help="sign the text of a target revision, offline",
    examples=("pacsync-agent sign web-7.txt", "pacsync-agent sign web-7.txt --key ops@example.org"),
    run=sign,
    add_arguments=_add_arguments,
    note="Run it where your key is, best on the machine that the target came from: it is compared with its packages.",
)
