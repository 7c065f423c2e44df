"""What a mirror may answer instead of a package: each refused with its reason, in time, and nothing is left behind."""

import dataclasses
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from apps.agent.pacsync_agent import candidates, space
from apps.agent.pacsync_agent.accepted import Accepted
from apps.agent.pacsync_agent.addresses import Address
from apps.agent.pacsync_agent.cache import Cache
from apps.agent.pacsync_agent.candidates import Trust
from apps.agent.pacsync_agent.errors import AgentError, Refused, Unreachable
from apps.agent.pacsync_agent.gather import Gatherer
from apps.agent.pacsync_agent.network import Limits, Network
from apps.agent.pacsync_agent.output import Output
from apps.agent.pacsync_agent.package_file import PackageFile, Wanted
from apps.agent.pacsync_agent.pacman_conf import PacmanConf, Repository, SigLevel
from apps.agent.pacsync_agent.patience import Patience
from apps.agent.pacsync_agent.private_databases import Databases
from apps.fleet.alpm.repository import OfferedPackage
from tests.agent.test_acceptance import NEVER, REQUIRED, own
from tests.support.hostile import DRIP, Behaviour, Hostile, Peer
from tests.support.keys import Keys
from tests.support.pacman import Fleet, Package

QUICK = Limits(silence=1, head=2, rate=1000, window=1, base=4, undeclared=4, largest=1 << 20)
PATIENCE = 20  # seconds: no case takes longer, on a busy machine either


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    content = {f"usr/share/tool/{number}": os.urandom(997) for number in range(40)}
    return Fleet(tmp_path_factory.mktemp("fleet")).package("tool", "1:2-1", files=content)


class Machine:
    """A machine whose own database has the package, with one mirror."""

    def __init__(self, directory: Path, package: Package, mirror: str, level: SigLevel = NEVER) -> None:
        self.package = package
        self.state_dir, self.cache_dir = directory / "state", directory / "cache"
        self.state_dir.mkdir()
        self.conf = PacmanConf(
            directory, directory, directory / "gnupg", (self.cache_dir,), ("x86_64",), (), (), (), 2, REQUIRED,
            (Repository("core", (mirror,), level),), (),
        )  # fmt: skip
        self.offer([package])

    def offer(self, packages: Iterable[Package]) -> None:
        """Have these packages in its own database."""
        offered = [
            OfferedPackage(one.name, one.version, one.arch, one.path.name, one.sha256, one.path.stat().st_size)
            for one in packages
        ]
        self.offered = offered[0]
        self.databases = own(self.conf, {"core": offered}, Databases())

    def gather(self, *urls: str, limits: Limits = QUICK, sha256: str | None = None, patience: float = 0) -> PackageFile:
        known = (self.package.name, self.package.version, self.package.arch)
        wanted = Wanted(*known, urls=urls, sha256=sha256, repository="core")
        return self.gatherer(limits=limits, patience=patience).gather([wanted])[0]

    def gatherer(self, *, limits: Limits = QUICK, patience: float = 0) -> Gatherer:
        return Gatherer(
            self.conf,
            databases=self.databases,
            trust=Trust(),
            accepted=Accepted(self.state_dir),
            cache=Cache(self.conf, self.state_dir),
            network=Network(threading.Event(), limits=limits, patience=Patience(patience)),
            output=Output(quiet=True),
        )

    def left_behind(self) -> list[Path]:
        return [path for top in (self.state_dir, self.cache_dir) if top.exists() for path in top.rglob("*")]


def refused(machine: Machine, *urls: str) -> AgentError:
    began = time.monotonic()
    with pytest.raises((Refused, Unreachable)) as error:
        machine.gather(*urls)
    assert time.monotonic() - began < PATIENCE
    assert machine.left_behind() == []
    assert error.value.hint
    return error.value


WHOLE = object()  # stands for the package's bytes


def says(body: object = b"", **options: object) -> Callable[[bytes], Behaviour]:
    """An answer; WHOLE as its body is the package."""

    def behaviour(whole: bytes) -> Behaviour:
        return lambda peer: peer.answer(whole if body is WHOLE else body, **options)  # type: ignore[arg-type]

    return behaviour


def raw(content: bytes) -> Callable[[bytes], Behaviour]:
    return lambda whole: lambda peer: peer.send(content)


def begins(head: bytes, piece: bytes, pause: float = 0) -> Callable[[bytes], Behaviour]:
    """Says `head`, then `piece` again and again."""

    def behaviour(whole: bytes) -> Behaviour:
        def answer(peer: Peer) -> None:
            peer.send(head)
            peer.endless(piece, pause=pause)

        return answer

    return behaviour


def redirects(target: str, status: str = "302 Found") -> Callable[[bytes], Behaviour]:
    return says(status=status, Location=target)


def cut(share: float, length: object = None) -> Callable[[bytes], Behaviour]:
    """A part of the package with the length of the whole, and the end of the connection."""
    return lambda whole: (
        lambda peer: peer.answer(whole[: int(len(whole) * share)], length=len(whole) if length is None else length)
    )


OK = b"HTTP/1.1 200 OK\r\n"
ANOTHER = "its checksum isn't the one that core says"
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
    "redirects in a circle": (redirects("/core/again"), "redirects again and again"),
    "redirects without a word": (redirects(""), "redirects again and again"),
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
        machine = Machine(tmp_path, package, f"{server.url}/core")
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
        refused(Machine(tmp_path, package, server.url))
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
        file = Machine(tmp_path, package, server.url).gather()
        assert file.path.read_bytes() == whole and file.path.stat().st_mode & 0o777 == 0o644


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # in the working directory: the address of a socket is short


LINKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "link to a secret": (lambda path: path.symlink_to("/etc/shadow"), "link to something else"),
    "link to a device": (lambda path: path.symlink_to("/dev/zero"), "link to something else"),
    "link to itself": (lambda path: path.symlink_to(path.name), "can't be opened"),
    "link to nothing": (lambda path: path.symlink_to(path.parent / "none" / path.name), "not there"),
    "FIFO": (os.mkfifo, "no regular file"),
    "directory": (lambda path: path.mkdir(), "no regular file"),
    "socket": (lambda path: make_socket(path), "can't be opened"),
    "too large": (lambda path: path.write_bytes(b"x" * (2 << 20)), "larger than declared"),
    "sparse, terabytes": (lambda path: (path.touch(), os.truncate(path, 1 << 40)), "larger than declared"),
    "another file": (lambda path: path.write_bytes(b"root:x:0:0:"), ANOTHER),
    "nothing": (lambda path: None, "not there"),
}


@pytest.mark.parametrize("case", LINKS)
def test_own_file_mirror_with_something_else(
    case: str, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, reason = LINKS[case]
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path / "m")
    make(tmp_path / "m" / package.path.name)
    error = refused(Machine(tmp_path, package, f"file://{tmp_path / 'm'}"))
    comes = reason in {ANOTHER, "larger than declared"}
    assert error.code == ("mirror_failed" if comes else "package_unavailable") and reason in error.message
    assert "/etc/shadow" not in error.message and "Permission" not in error.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_own_file_mirror_with_a_device_is_not_read(package: Package, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    try:
        os.mknod(tmp_path / "m" / package.path.name, 0o20644, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container makes no devices")
    assert "no regular file" in refused(Machine(tmp_path, package, f"file://{tmp_path / 'm'}")).message


def test_own_file_mirror_with_links_into_a_pool_is_used(package: Package, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / package.path.name).symlink_to(package.path)
    assert (
        Machine(tmp_path, package, f"file://{tmp_path / 'm'}").gather().path.read_bytes() == package.path.read_bytes()
    )


def sig(behaviour: Behaviour, whole: bytes) -> Behaviour:
    """The package itself is right; what it does with the signature is the test's."""
    return lambda peer: behaviour(peer) if peer.path.endswith(".sig") else peer.answer(whole)


SIGNATURES: dict[str, tuple[Behaviour, str]] = {
    "none": (lambda peer: peer.answer(status="404 Not Found"), "signature_missing"),
    "a login page": (lambda peer: peer.answer(b"<html>Please log in</html>"), "signature_invalid"),
    "empty": (lambda peer: peer.answer(), "signature_invalid"),
    "endless": (lambda peer: (peer.send(OK + b"\r\n"), peer.endless(b"x" * 4096))[0], "mirror_failed"),
    "drips": (lambda peer: (peer.send(OK + b"\r\n"), peer.endless(b"x", pause=DRIP))[0], "network_failed"),
    "silent": (lambda peer: peer.silence(), "network_failed"),
    "a redirect to a file": (
        lambda peer: peer.answer(status="302 Found", Location="file:///etc/shadow"),
        "mirror_failed",
    ),
}


@pytest.mark.needs("gpg")
@pytest.mark.parametrize("case", SIGNATURES)
def test_mirror_with_a_signature_of_another_kind(case: str, package: Package, tmp_path: Path) -> None:
    behaviour, code = SIGNATURES[case]
    keys = Keys(tmp_path / "gnupg")
    with Hostile(sig(behaviour, package.path.read_bytes())) as server:
        assert refused(Machine(tmp_path, package, server.url, REQUIRED)).code == code
    keys.stop()


@pytest.mark.needs("gpg")
def test_mirror_whose_signature_becomes_right_is_asked_again(package: Package, tmp_path: Path) -> None:
    """A login page instead of the signature, at first: nothing of it stays, so the next try works."""
    packager, keys = Keys(tmp_path / "packager"), Keys(tmp_path / "gnupg")
    key = packager.make("packager")
    keys.learn(packager.export(key), key)
    right = packager.sign(package.path, key).read_bytes()
    answers = [b"<html>", right]
    with Hostile(sig(lambda peer: peer.answer(answers[0]), package.path.read_bytes())) as server:
        machine = Machine(tmp_path, package, server.url, REQUIRED)
        assert refused(machine).code == "signature_invalid"
        del answers[0]
        file = machine.gather()
        assert file.path.with_name(file.path.name + ".sig").read_bytes() == right
        # What lies in the cache without a good signature needs no second download.
        file.path.with_name(file.path.name + ".sig").write_bytes(b"<html>")
        asked = len(server.paths)
        assert machine.gather().path == file.path
        assert [path for path in server.paths[asked:] if not path.endswith(".sig")] == []
        assert file.path.with_name(file.path.name + ".sig").read_bytes() == right
    (package.path.with_name(package.path.name + ".sig")).unlink()
    packager.stop()
    keys.stop()


def test_file_of_the_cache_that_only_the_target_contradicts_must_have_been_accepted(
    package: Package, tmp_path: Path
) -> None:
    """No database knows the version, so nothing is asked for; a revert is the case."""
    with Hostile(lambda peer: peer.answer(b"")) as mirror:
        machine = Machine(tmp_path, package, mirror.url)
        machine.databases = own(machine.conf, {}, Databases())
        machine.cache_dir.mkdir()
        cached = machine.cache_dir / package.path.name
        cached.write_bytes(package.path.read_bytes())
        with pytest.raises(Refused) as error:
            machine.gather(sha256="b" * 64)
        assert error.value.code == "untrusted_file" and "The cache's file of tool" in error.value.message
        Accepted(machine.state_dir).add([(package.name, package.version, package.arch, package.sha256)])
        assert machine.gather(sha256="b" * 64).path == cached
        assert mirror.paths == []


def test_dead_mirror_costs_a_few_waits_and_is_passed_over_then(package: Package, tmp_path: Path) -> None:
    with Hostile(lambda peer: peer.silence()) as dead, Hostile(lambda peer: peer.answer(b"")) as empty:
        machine = Machine(tmp_path, package, dead.url)
        network = Network(threading.Event(), limits=QUICK, patience=Patience(0))
        for _ in range(6):
            gatherer = Gatherer(
                machine.conf,
                databases=machine.databases,
                trust=Trust(),
                accepted=Accepted(machine.state_dir),
                cache=Cache(machine.conf, machine.state_dir),
                network=network,
                output=Output(quiet=True),
            )
            with pytest.raises(Unreachable):
                gatherer.gather([Wanted(package.name, package.version, package.arch)])
        assert len(dead.paths) == 3
        assert network.hosts.passed_over(Address(dead.url).host) is not None
        assert network.hosts.passed_over(Address(empty.url).host) is None


def test_credentials_go_to_their_own_host_alone(package: Package, tmp_path: Path) -> None:
    whole = package.path.read_bytes()
    with Hostile(lambda peer: peer.answer(whole)) as other:

        def answer(peer: Peer) -> None:
            if peer.path.startswith("/here"):
                peer.answer(status="302 Found", Location=f"/again/{package.path.name}")
            else:
                peer.answer(status="302 Found", Location=f"{other.url}/{package.path.name}")

        with Hostile(answer) as own:
            machine = Machine(tmp_path, package, f"http://me:p%40ss@{own.host}/here")
            assert machine.gather().path.read_bytes() == whole
            assert [request.get("authorization") for request in own.requests] == ["Basic bWU6cEBzcw=="] * 2
        assert [request.get("authorization") for request in other.requests] == [None]


ALONE = (OK + b"\r\n", b"x" * 65536)


@pytest.mark.parametrize("declared", [None, 20 << 30])
def test_endless_file_leaves_the_reserve_of_the_disk(
    package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, declared: int | None
) -> None:
    """Also where nobody declares a size, so that nothing can be refused before."""
    room = 48 << 20

    def usage(path: Path) -> SimpleNamespace:
        taken = sum(one.stat().st_size for one in tmp_path.rglob("*.part"))
        return SimpleNamespace(total=1 << 40, used=taken, free=space.RESERVE + room - taken)

    monkeypatch.setattr(space.shutil, "disk_usage", usage)
    with Hostile(begins(*ALONE)(b"")) as server:
        machine = Machine(tmp_path, package, server.url, REQUIRED)
        offered = [dataclasses.replace(machine.offered, size=declared or 0)]
        machine.databases = own(machine.conf, {"core": offered}, Databases())
        with pytest.raises(Refused) as error:
            machine.gather(limits=Limits())
        assert error.value.code == "disk_full" and error.value.hint and str(tmp_path) in error.value.message
        assert machine.left_behind() == []
        assert server.sent == 0 if declared else room < server.sent < room + (100 << 20)


@pytest.mark.parametrize("size", [1, 4 << 30, 1 << 50])
def test_limit_of_time_does_not_grow_with_what_is_declared(size: int) -> None:
    limits = Limits()
    assert limits.base <= limits.total(size) <= limits.longest == 6 * 3600
    assert limits.total(None) <= limits.longest


def test_gathering_of_many_files_has_an_end_too(package: Package, tmp_path: Path) -> None:
    with Hostile(begins(OK + b"\r\n", b"x" * 1000, DRIP)(b"")) as server:
        machine = Machine(tmp_path, package, server.url)
        with pytest.raises(Unreachable, match="took longer") as error:
            machine.gather(limits=Limits(gathering=1))
        assert error.value.code == "mirror_failed"
        assert machine.left_behind() == []


def test_size_that_an_own_database_declares_is_believed(package: Package, tmp_path: Path) -> None:
    """A package above the limit, of a repository of the machine's own."""
    machine = Machine(tmp_path, package, "http://127.0.0.1:9")
    wanted = Wanted(package.name, package.version, package.arch, size=99 << 30)
    assert not candidates.of(wanted, machine.conf, machine.databases, Trust()).is_too_large(1)
    assert candidates.of(Wanted("x", "1-1", "any", size=2), machine.conf, machine.databases, Trust()).is_too_large(1)
