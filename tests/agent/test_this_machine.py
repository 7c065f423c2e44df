"""Addresses of this machine itself, in every way of writing: nobody but its own pacman.conf has the agent ask them."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.http import own_addresses as this_machine
from apps.agent.pacsync_agent.http import proxies
from apps.agent.pacsync_agent.mirrors import download
from apps.agent.pacsync_agent.mirrors.addresses import Address
from apps.agent.pacsync_agent.mirrors.network import Limits, Network, NotThere
from apps.agent.pacsync_agent.mirrors.retry_schedule import Patience
from tests.support.hostile import Hostile, Peer

QUICK = Limits(silence=2, head=3, rate=100, window=2, base=8)
SAID = "leads to this machine itself"


def own_addresses() -> list[str]:
    """The addresses of this machine's interfaces towards others, where it has any."""
    found = []
    for family, away in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((away, 9))
                found.append(str(probe.getsockname()[0]))
            except OSError:
                continue
    return found


HERE = ["127.0.0.1", "127.255.255.254", "0.0.0.0", "0.1.2.3", "169.254.169.254", "::1", "::", "fe80::1", "fe80::1%lo"]
HERE += ["::ffff:127.0.0.1", "0:0:0:0:0:ffff:7f00:1", "::ffff:0:0", "::ffff:169.254.169.254", "::127.0.0.1"]
HERE += ["64:ff9b::7f00:1", "2002:7f00:1::1", *own_addresses()]
ELSEWHERE = ["198.51.100.7", "128.0.0.1", "126.255.255.255", "1.0.0.0", "2001:db8::1", "::ffff:198.51.100.7"]


@pytest.mark.parametrize("address", HERE)
def test_address_of_this_machine(address: str) -> None:
    assert this_machine.leads_here(address)
    assert this_machine.named_here(address)


@pytest.mark.parametrize("address", ELSEWHERE)
def test_address_of_another_machine(address: str) -> None:
    assert not this_machine.leads_here(address)
    assert not this_machine.named_here(address)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("2130706433", True),
        ("0x7f000001", True),
        ("0x7f.1", True),
        ("017700000001", True),
        ("127.1", True),
        ("0", True),
        ("127.0.0.1.", True),
        ("%31%32%37.0.0.1", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("www.localhost", True),
        ("[::1]", True),
        ("127\u30020\u30020\u30021", True),
        ("%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1", True),
        ("127.0.0.1%00", False),
        ("3325256711", False),
        ("localhost.example.org", False),
        ("mirror.invalid", False),
        ("", False),
    ],
)
def test_host_by_its_letters(host: str, here: bool) -> None:
    assert this_machine.named_here(host) == here


@pytest.fixture
def service() -> Iterator[Hostile]:
    """Something that listens on this machine for this machine."""
    with Hostile(lambda peer: peer.answer(b"secret")) as server:
        yield server


def spelled(port: str) -> list[str]:
    hosts = ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "017700000001", "0", "localhost", "LocalHost"]
    hosts += ["[::ffff:127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "%31%32%37.0.0.1", socket.gethostname()]
    return [f"http://{host}:{port}/x" for host in hosts]


def fetch(part: Path, *sources: Address, choose: proxies.Choose = lambda url: None) -> str:
    """Why none of the addresses gave the file; empty when one did."""
    try:
        download.fetch(
            sources,
            part,
            size=1000,
            network=Network(threading.Event(), limits=QUICK, choose=choose, patience=Patience(0)),
            on_bytes=lambda count: None,
            accept=lambda path, source: path,
        )
    except NotThere as error:
        return str(error)
    return ""


def test_addresses_that_only_the_server_names_never_reach_this_machine(service: Hostile, tmp_path: Path) -> None:
    for url in spelled(service.host.rpartition(":")[2]):
        said = fetch(tmp_path / "part", Address(url))
        assert SAID in said or "can't be resolved" in said, (url, said)
    assert service.paths == []


def test_mirror_of_the_own_pacman_conf_may_be_this_machine_and_redirect_to_it(service: Hostile, tmp_path: Path) -> None:
    with Hostile(lambda peer: peer.answer(status="302 Found", Location=f"{service.url}/x")) as mirror:
        assert fetch(tmp_path / "part", Address(mirror.url, own=True)) == ""
    assert service.paths == ["/x"]


@pytest.mark.parametrize("own", [True, False])
def test_redirect_of_another_machine_never_reaches_this_one(
    service: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """By name, so that only the address that it is resolved to shows it; 127.0.0.2 stands for another machine."""
    leads_here = this_machine.leads_here
    monkeypatch.setattr(this_machine, "leads_here", lambda address: address != "127.0.0.2" and leads_here(address))
    for url in spelled(service.host.rpartition(":")[2]):
        with Hostile(lambda peer, url=url: peer.answer(status="302 Found", Location=url), "127.0.0.2") as mirror:
            said = fetch(tmp_path / "part", Address(mirror.url, own=own))
            assert SAID in said or "can't be resolved" in said, (url, said)
            assert mirror.paths
    assert service.paths == []


def test_name_that_is_resolved_to_this_machine_is_not_asked(
    service: Hostile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it was resolved to before: what is connected to counts."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1" if "." in host else host, *rest, **more)
    )
    url = f"http://rebinding.example:{service.host.rpartition(':')[2]}/x"
    assert SAID in fetch(tmp_path / "part", Address(url))
    assert service.paths == []


def proxy(kind: str, at: Hostile) -> proxies.Choose:
    return lambda url: proxies.parse(f"{kind}://{at.host}")


def test_proxy_on_this_machine_is_used_and_not_asked_for_this_machine(tmp_path: Path) -> None:
    def answer(peer: Peer) -> None:
        if peer.path.endswith("/away"):
            peer.answer(status="302 Found", Location=to)
        else:
            peer.answer(b"x")

    with Hostile(answer) as at:
        assert fetch(tmp_path / "part", Address("http://mirror.invalid/x"), choose=proxy("http", at)) == ""
        asked = len(at.paths)
        for url in spelled("80")[:-1]:
            assert SAID in fetch(tmp_path / "part", Address(url), choose=proxy("http", at)), url
            assert SAID in fetch(tmp_path / "part", Address(url.replace("http:", "https:")), choose=proxy("http", at))
        assert len(at.paths) == asked
        for to in spelled("80")[:-1]:
            assert SAID in fetch(tmp_path / "part", Address("http://mirror.invalid/away"), choose=proxy("http", at)), to
        assert {path.partition(":")[2] for path in at.paths} == {"//mirror.invalid/x", "//mirror.invalid/away"}


@pytest.mark.parametrize("kind", ["socks5", "socks5h"])
def test_socks_proxy_is_not_asked_for_this_machine(tmp_path: Path, kind: str) -> None:
    with Hostile(lambda peer: peer.reset()) as at:
        for url in spelled("80")[:-1]:
            assert SAID in fetch(tmp_path / "part", Address(url), choose=proxy(kind, at)), url
