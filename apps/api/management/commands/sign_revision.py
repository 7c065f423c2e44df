"""`manage.py sign_revision`: the text of a revision to sign, and the upload of its signature. It has no key itself."""

from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import ACTOR, clear_errors, pool_named
from apps.fleet import limits, signed_revisions
from apps.fleet.models import Pool
from apps.lifecycle.management.output import TellingCommand


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(signed_revisions.LIMIT)
    except OSError as error:
        raise ArgumentTypeError(f"{path} can't be read: {error.strerror}") from error


class Command(TellingCommand):
    help = (
        "Print the text of a target revision, which an operator signs where the key is; with --document and "
        "--signature, keep the signature for the machines."
    )
    example = "web > web-7.txt, and later: sign_revision web --document web-7.txt --signature web-7.txt.asc"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("pool", metavar="POOL")
        parser.add_argument("--number", type=int, metavar="N", help="the revision (default: the pool's target)")
        parser.add_argument(
            "--days",
            type=int,
            default=limits.SIGNATURE_DAYS_DEFAULT,
            metavar="N",
            help="for how many days the signature will be good (default: %(default)s)",
        )
        parser.add_argument("--document", type=_content, metavar="FILE", help="the text that was signed")
        parser.add_argument("--signature", type=_content, metavar="FILE", help="its detached signature")
        parser.add_argument("--remove", action="store_true", help="remove the signature of the revision")

    def handle(
        self,
        *args: Any,
        pool: str,
        number: int | None,
        days: int,
        document: bytes | None,
        signature: bytes | None,
        remove: bool,
        **options: Any,
    ) -> None:
        if (document is None) != (signature is None) or (remove and document is not None):
            raise CommandError("Give --document and --signature together, or neither; or --remove alone.")
        with clear_errors():
            found = pool_named(pool)
            if number is None:
                number = _current(found)
            if document is not None and signature is not None:
                said = _uploaded(found, number, document, signature)
            elif remove:
                gone = signed_revisions.remove(pool=found, number=number, actor=ACTOR)
                said = f"Target #{number} of {pool} {'is no longer signed' if gone else 'was not signed'}."
            else:
                said = signed_revisions.document(pool=found, number=number, days=days).decode().removesuffix("\n")
        key = "document" if document is None and not remove else "message"
        text = f"{said}\n" if key == "document" else said
        self.tell(options, {"pool": pool, "number": number, key: text}, said.split("\n"))


def _current(pool: Pool) -> int:
    if pool.target is None:
        raise CommandError(f"The pool {pool.name} has no target yet.")
    return pool.target.number


def _uploaded(pool: Pool, number: int, document: bytes, signature: bytes) -> str:
    made = signed_revisions.sign(pool=pool, number=number, document=document, signature=signature, actor=ACTOR)
    key = f" It names key {made.issuer}; each machine verifies that." if made.issuer else ""
    return f"The signature of target #{number} of {pool.name} was kept.{key}"
