"""Requests one file from a mirror by HTTP: resumed, redirected, with credentials only for their own host.

It must not write files or know what the file is for.
"""

from __future__ import annotations

import re
import urllib.parse
import urllib.request
from typing import Any

from .. import __version__
from ..http import bounded_http, retry_after
from ..http.own_addresses import ThisMachine
from ..http.transfer_limits import Guard
from . import addresses
from .addresses import Address
from .network import GONE, Network, Refusal

REDIRECTS = 5
NONE_THERE = {404, 410}
PASSING = {408, 425, 429}  # and whatever says that the fault is the server's
LONGEST_WAIT = 86400.0  # seconds that a mirror may make the agent wait


def open_file(source: Address, offset: int, guard: Guard, network: Network) -> tuple[Any, int]:
    """The answer (an http.client.HTTPResponse) to a request from the byte `offset` on, and the byte at which it begins.

    Raises Refusal, and bounded_http.ERRORS.
    """
    answer = _follow(source, offset, guard, network)
    if offset and answer.status == 416:  # nothing after `offset`: the part is whole, or another file's
        answer.close()
        answer, offset = _follow(source, 0, guard, network), 0
    if offset and answer.status == 206:
        begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", f"bytes {offset}-"))
        if begins and int(begins[1]) == offset:
            return answer, offset
        answer.close()
        answer = _follow(source, 0, guard, network)
    if answer.status == 200:
        return answer, 0
    answer.close()
    raise _refusal(answer, source, network)


def _refusal(answer: Any, source: Address, network: Network) -> Refusal:
    if answer.status in NONE_THERE:
        return Refusal("not there", kind=GONE)
    reason = f"it answers {answer.status}"
    passing = answer.status in PASSING or 500 <= answer.status < 600
    if not passing:
        return Refusal(reason)
    network.hosts.failed(source.host, reason)
    after = retry_after.seconds(answer.headers.get("Retry-After", ""), most=LONGEST_WAIT)
    network.hosts.leave_alone(source.host, after)
    asked = f" (Retry-After: {after:.0f} s)" if after else ""
    return Refusal(f"{reason}{asked}", passing=True, after=after)


def _follow(source: Address, offset: int, guard: Guard, network: Network) -> Any:
    """The answer after redirects. Credentials go only to the host that pacman.conf has them for."""
    url, authorization = addresses.credentials_of(source.url) if source.own else (source.url, "")
    home = Address(url).host
    guard.may_stay_here = source.own  # nobody but pacman.conf may name this machine itself
    for _ in range(REDIRECTS + 1):
        request = urllib.request.Request(_quoted(url), headers={"User-Agent": f"pacsync-agent/{__version__}"})  # noqa: S310
        if authorization and Address(url).host == home:
            request.add_header("Authorization", authorization)
        if offset:
            request.add_header("Range", f"bytes={offset}-")
        answer = _send(request, guard, network)
        if answer.status not in {301, 302, 303, 307, 308}:
            return answer
        target = answer.headers.get("Location", "")
        answer.close()
        url = redirected(url, target)
        guard.may_stay_here = guard.may_stay_here and guard.stayed_here
    raise Refusal("it redirects too often")


def _send(request: urllib.request.Request, guard: Guard, network: Network) -> Any:
    try:
        return bounded_http.send(request, guard, choose=network.choose, timeout=network.limits.silence)
    except OSError as error:
        cause = bounded_http.cause_of(error)
        if isinstance(cause, ThisMachine):
            raise Refusal(str(cause), kind=GONE) from None
        raise


def redirected(url: str, target: str) -> str:
    """The target of a redirect. Raises Refusal for a forbidden one."""
    try:
        found = urllib.parse.urljoin(url, target)
        before, after = urllib.parse.urlsplit(url), urllib.parse.urlsplit(found)
        host, _ = after.hostname, after.port
    except ValueError:
        raise Refusal("it redirects to an address that makes no sense") from None
    if after.scheme not in {"http", "https"}:
        raise Refusal(f"it redirects to {after.scheme if after.scheme.isalpha() else 'other'} addresses")
    if before.scheme == "https" and after.scheme != "https":
        raise Refusal("it redirects from https to http")
    if not host or "@" in after.netloc or not host.isascii():
        raise Refusal("it redirects to an address that makes no sense")
    return found


def _quoted(url: str) -> str:
    return urllib.parse.quote(url, safe="/:?=&%@+~,;!$'()*[]")
