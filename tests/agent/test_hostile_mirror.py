"""What a mirror may answer instead of a package: each refused with its reason, in time, and nothing is left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent.gathering import ANOTHER, OK, GatheringMachine, begins, refused
from tests.support.hostile import DRIP, Behaviour, Hostile, Peer
from tests.support.pacman import Package

WHOLE = object()  # stands for the package's bytes


def says(body: object = b"", **options: object) -> Callable[[bytes], Behaviour]:
    """An answer; WHOLE as its body is the package."""

    def behaviour(whole: bytes) -> Behaviour:
        return lambda peer: peer.answer(whole if body is WHOLE else body, **options)  # type: ignore[arg-type]

    return behaviour


def raw(content: bytes) -> Callable[[bytes], Behaviour]:
    return lambda whole: lambda peer: peer.send(content)


def redirects(target: str, status: str = "302 Found") -> Callable[[bytes], Behaviour]:
    return says(status=status, Location=target)


def cut(share: float, length: object = None) -> Callable[[bytes], Behaviour]:
    """A part of the package with the length of the whole, and the end of the connection."""
    return lambda whole: (
        lambda peer: peer.answer(whole[: int(len(whole) * share)], length=len(whole) if length is None else length)
    )


CASES: dict[str, tuple[Callable[[bytes], Behaviour], str]] = {
    "not there": (says(status="404 Not Found"), "not there"),
    "gone": (says(status="410 Gone"), "not there"),
    "forbidden": (says(status="403 Forbidden"), "it answers 403"),
    "wants credentials": (says(status="401 Unauthorized", WWW_Authenticate='Basic realm="root password?"'), "401"),
    "broken": (says(status="500 Oh"), "it answers 500"),
    "no content": (says(status="204 No Content"), "it answers 204"),
    "not modified": (says(status="304 Not Modified"), "it answers 304"),
    "status of no kind": (says(status="999 ?"), "it answers 999"),
    "empty": (says(), ANOTHER),
    "a login page": (says(b"<html>Please log in</html>"), ANOTHER),
    "compressed by the way": (says(b"\x1f\x8b" + b"\0" * 100, Content_Encoding="gzip"), ANOTHER),
    "one byte too few": (lambda whole: lambda peer: peer.answer(whole[:-1]), ANOTHER),
    "one byte changed": (lambda whole: lambda peer: peer.answer(whole[:-1] + bytes([whole[-1] ^ 1])), ANOTHER),
    "one byte too many": (lambda whole: lambda peer: peer.answer(whole + b"x"), "larger than declared"),
    "too many without a length": (
        lambda whole: lambda peer: peer.answer(whole + b"x", length=""),
        "more than declared",
    ),
    "declared without end": (says(WHOLE, length=10**15), "larger than declared"),
    "length of less than nothing": (lambda whole: lambda peer: peer.answer(b"x", length=-5), ANOTHER),
    "cut off each time": (cut(0), "broke off"),
    "no length, cut off": (cut(0.5, ""), ANOTHER),
    "endless": (begins(OK + b"\r\n", b"x" * 65536), "more than declared"),
    "endless chunks": (
        begins(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n"),
        "more than",
    ),
    "chunk of no size": (
        raw(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "broke off|as it should|can't be reached",
    ),
    "chunk size without end": (begins(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1" * 1000), "as it should"),
    "drips its body": (begins(OK + b"Content-Length: 30000\r\n\r\n", b"x", DRIP), "slower than"),
    "drips chunks": (begins(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", DRIP), "slower than"),
    "drips a chunk's size": (begins(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0", DRIP), "slower than"),
    "drips headers": (begins(OK, b"X: y\r\n", DRIP), "no answer within"),
    "drips one header": (begins(OK + b"X: ", b"y", DRIP), "no answer within"),
    "drips its status": (begins(b"HTTP/1.1 ", b"2", DRIP), "no answer within"),
    "says continue for ever": (begins(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "no answer within"),
    "headers for ever": (begins(OK, b"X: y\r\n"), "doesn't speak HTTP"),
    "a header for ever": (begins(OK + b"X: ", b"y" * 1000), "doesn't speak HTTP"),
    "a status for ever": (begins(b"", b"H" * 1000), "doesn't speak HTTP"),
    "silent": (lambda whole: lambda peer: peer.silence(), "no answer"),
    "hangs up": (lambda whole: lambda peer: None, "broke off"),
    "resets": (lambda whole: lambda peer: peer.reset(), "broke off"),
    "speaks something else": (raw(b"220 mail ESMTP\r\n"), "doesn't speak HTTP"),
    "redirects in a circle": (redirects("/core/again"), "redirects too often"),
    "redirects without a word": (redirects(""), "redirects too often"),
    "redirects to a file": (redirects("file:///etc/shadow"), "redirects to file addresses"),
    "redirects to a device": (redirects("FILE:///dev/zero"), "redirects to file addresses"),
    "redirects to ftp": (redirects("ftp://127.0.0.1/tool"), "redirects to ftp addresses"),
    "redirects to data": (redirects("data:,tool"), "redirects to data addresses"),
    "redirects to no scheme": (redirects("1x://y"), "redirects"),
    "redirects with a password": (redirects("http://me:pw@127.0.0.1:9/tool"), "makes no sense"),
    "redirects to no port": (redirects("http://127.0.0.1:99999/tool"), "makes no sense"),
    "redirects to broken brackets": (redirects("http://[::1/tool"), "makes no sense"),
    "redirects with a body for ever": (
        begins(b"HTTP/1.1 302 Found\r\nLocation: file:///dev/zero\r\n\r\n", b"x" * 65536),
        "redirects to file addresses",
    ),
    "redirects to nobody": (redirects("http://127.0.0.1:9/tool", "307 Temporary Redirect"), "refuses connections"),
    "a part that nobody asked for": (says(WHOLE, status="206 Partial Content", Content_Range="bytes 5-9/10"), "206"),
}


def code_of(reason: str) -> str:
    """Only a file that a mirror says it hasn't can't be had from anywhere."""
    if reason == "not there":
        return "package_unavailable"
    silent = ("no answer", "broke off", "slower than", "refuses connections")
    return "network_failed" if reason.startswith(silent) else "mirror_failed"


@pytest.mark.parametrize("case", CASES)
def test_mirror_answers_something_else(case: str, package: Package, tmp_path: Path) -> None:
    make, reason = CASES[case]
    with Hostile(make(package.path.read_bytes())) as server:
        machine = GatheringMachine(tmp_path, package, f"{server.url}/core")
        error = refused(machine)
        assert error.code == code_of(reason) and "tool 1:2-1" in error.message
        assert any(word in error.message for word in reason.split("|")), error.message
        assert package.sha256[:8] not in error.message
        assert server.sent < 40 << 20  # the kernel's buffers, not the answer


def test_mirror_changes_the_file_between_two_parts(package: Package, tmp_path: Path) -> None:
    """The second part is of another file: begun again, and refused when that is no better."""
    whole = package.path.read_bytes()

    def answer(peer: Peer) -> None:
        offset = int(peer.headers.get("range", "bytes=0-")[6:-1])
        if offset:
            peer.answer(b"y" * (len(whole) - offset), status="206 Partial Content")
        else:
            peer.answer(whole[:1000], length=len(whole))

    with Hostile(answer) as server:
        refused(GatheringMachine(tmp_path, package, server.url))
        assert len(server.paths) < 30


def test_mirror_that_lies_about_the_range_is_asked_for_the_whole(package: Package, tmp_path: Path) -> None:
    whole = package.path.read_bytes()
    turns = iter(range(10))

    def answer(peer: Peer) -> None:
        turn = next(turns)
        if turn == 0:
            peer.answer(whole[:1000], length=len(whole))
        elif turn == 1:
            peer.answer(whole, status="206 Partial Content", Content_Range=f"bytes 0-{len(whole) - 1}/{len(whole)}")
        else:
            peer.answer(whole)

    with Hostile(answer) as server:
        file = GatheringMachine(tmp_path, package, server.url).gather()
        assert file.path.read_bytes() == whole and file.path.stat().st_mode & 0o777 == 0o644
