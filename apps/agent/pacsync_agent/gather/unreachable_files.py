"""The error for packages that could not be downloaded because mirrors or the network failed.

It must not download or know what is wrong with a file that came.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Optional

from ..errors import Unreachable
from ..mirrors.addresses import Address
from ..mirrors.network import MIRROR, NotThere, Refusal
from ..packages.package_file import Wanted
from ..terminal.listing import named, named_and

HINT = (
    "Nothing was changed. If this lasts, {remedy}. If you typed the command, run it again; what the server asked for "
    "is tried again automatically, after growing pauses."
)
# Reasons rewritten as clauses with the host. The others keep the whole address.
_CLAUSES = (
    (re.compile("its name can't be resolved"), "the name {name} can't be resolved"),
    (re.compile("its certificate is not valid"), "the certificate of {host} is not valid"),
    (re.compile("the connection broke off"), "the connection to {host} broke off"),
    (re.compile("no answer in time"), "{host} doesn't answer in time"),
    (re.compile("it ((answers|refuses|doesn't speak|redirects|can't be reached).*)"), "{host} {rest}"),
)


def failure(refused: Mapping[Wanted, NotThere]) -> Optional[Unreachable]:
    """The error, if each of these packages may be at an address that fails now; else None.

    The first line has packages and cause, the next ones the addresses of one package. None if no address can have one
    of the packages (404, 410).
    """
    failing = [one for error in refused.values() for one in error.failing]
    if not failing or not all(error.failing for error in refused.values()):
        return None
    mirrors = [one for one in failing if one[1].kind == MIRROR]
    # All addresses of one package, own mirrors first: one without the file is part of the cause.
    shown, error = next(
        (one for one in refused.items() if not mirrors or any(refusal.kind == MIRROR for _, refusal in one[1].failing))
    )
    where, cause = (mirrors or failing)[0]
    message = (
        f"{named_and([str(wanted) for wanted in refused])} could not be downloaded: {_clause(where, cause)}"
        f"{_others(refused, where)}.\nThe addresses of {shown}:\n{error.lines}"
    )
    if mirrors:
        return Unreachable("mirror_failed", message, HINT.format(remedy="name another mirror in pacman.conf"))
    remedy = "look at the network and the name service of this machine, or name another mirror in pacman.conf"
    return Unreachable("network_failed", message, HINT.format(remedy=remedy))


def _clause(where: str, refusal: Refusal) -> str:
    """The reason as a clause with the host, or with the whole address if it has no host."""
    address = Address(where)
    host = address.host.partition("://")[2] or where
    text = refusal.cause or str(refusal)
    for pattern, words in _CLAUSES:
        found = pattern.match(text)
        if found:
            rest = found[1] if found.groups() else ""
            return words.format(host=host, name=address.name or host, rest=rest) + text[found.end() :]
    return f"{host}: {text}"


def _others(refused: Mapping[Wanted, NotThere], where: str) -> str:
    """The failures of the other addresses, as the rest of that sentence."""
    failing = {Address(one).host for error in refused.values() for one, _ in error.failing} - {Address(where).host}
    more = f"{len(failing)} other host{'s fail' if len(failing) > 1 else ' fails'}" if failing else ""
    without = any(len(error.refusals) > len(error.failing) for error in refused.values())
    rest = f"the other addresses don't have {'them' if len(refused) > 1 else 'it'}" if without else ""
    if more and rest:
        return f", {more}, and {rest}"
    return f", and {more or rest}" if more or rest else ""


def databases(reasons: Mapping[str, str], names: Collection[str]) -> Unreachable:
    """The error for packages that nothing vouches for while the current databases can't be fetched."""
    first = next(iter(reasons.values()))
    several = len(reasons) > 1
    message = (
        f"Nothing that this machine trusts vouches for {named_and(names)}, and the current "
        f"database{'s' if several else ''} of {named(reasons)}, which might, can't be fetched: {first}."
    )
    remedy = "look at the mirrors in pacman.conf, and at the network and the name service of this machine"
    return Unreachable("databases_unreadable", message, HINT.format(remedy=remedy))


def too_long(seconds: float) -> Unreachable:
    """The error when all downloads together took too long."""
    return Unreachable(
        "mirror_failed",
        f"The mirrors are too slow: the downloads took longer than {seconds / 3600:.0f} hours.",
        "Name faster mirrors in pacman.conf, and try again: files already downloaded are kept.",
    )
