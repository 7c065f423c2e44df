"""Mirrors and networks that fail for a moment: asked again within the run, once for all files, and with an end."""

import contextlib
import dataclasses
import http.server
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent import download, patience, retry_after
from apps.agent.pacsync_agent.addresses import Address
from apps.agent.pacsync_agent.api import Client
from apps.agent.pacsync_agent.errors import Unavailable, Unreachable
from apps.agent.pacsync_agent.network import Limits, Network, NotThere, Refusal, Stopped
from apps.agent.pacsync_agent.output import Output
from apps.agent.pacsync_agent.package_file import Wanted
from apps.agent.pacsync_agent.patience import Patience
from apps.agent.pacsync_agent.progress import Progress
from tests.agent.test_acceptance import REQUIRED
from tests.agent.test_hostile_mirror import Machine
from tests.support.hostile import Behaviour, Hostile, Peer
from tests.support.keys import Keys
from tests.support.pacman import Fleet, Package

QUICK = Limits(silence=1, head=3, rate=1000, window=1, base=60, largest=1 << 20)
CONTENT = b"package" * 20_000


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return Fleet(tmp_path_factory.mktemp("fleet")).package("tool", "1:2-1")


def turns(*answers: Behaviour) -> Behaviour:
    """Each in its turn, and the last one for ever."""
    left = list(answers)
    return lambda peer: (left.pop(0) if len(left) > 1 else left[0])(peer)


def says(status: str, **headers: str) -> Behaviour:
    return lambda peer: peer.answer(status=status, **headers)


def whole(peer: Peer) -> None:
    peer.answer(CONTENT)


def stalls(peer: Peer) -> None:
    """A little more of the file each time, then nothing."""
    offset = int(peer.headers.get("range", "bytes=0-")[6:-1])
    head = {"Content_Range": f"bytes {offset}-{len(CONTENT) - 1}/{len(CONTENT)}"} if offset else {}
    status = "206 Partial Content" if offset else "200 OK"
    peer.answer(CONTENT[offset : offset + 500], status=status, length=len(CONTENT) - offset, **head)
    peer.silence()


def get(network: Network, part: Path, *servers: str) -> bytes:
    def accept(path: Path, source: Address) -> bytes:
        if path.read_bytes() != CONTENT:
            raise Refusal("it is another file")
        return path.read_bytes()

    addresses = [Address(f"{url}/core/tool.pkg.tar.zst", own=True) for url in servers]
    return download.fetch(
        addresses, part, size=len(CONTENT), network=network, on_bytes=lambda count: None, accept=accept
    )


def network(seconds: float, **options: object) -> Network:
    return dataclasses.replace(Network(threading.Event(), limits=QUICK, patience=Patience(seconds)), **options)


@pytest.mark.parametrize(
    "first",
    [
        says("429 Too Many Requests", Retry_After="1"),
        says("503 Service Unavailable"),
        says("500 Oh"),
        says("408 Request Timeout"),
        lambda peer: peer.silence(),
        lambda peer: peer.reset(),
        lambda peer: None,
    ],
)
def test_mirror_that_fails_for_a_moment_is_asked_again(first: Behaviour, tmp_path: Path) -> None:
    with Hostile(turns(first, first, whole)) as mirror:
        assert get(network(30), tmp_path / "part", mirror.url) == CONTENT
        assert len(mirror.paths) == 3
    with Hostile(turns(first, first, whole)) as mirror:  # without patience it is the end
        with pytest.raises(NotThere) as error:
            get(network(0), tmp_path / "part", mirror.url)
        assert error.value.failing and len(mirror.paths) == 1


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "403 Forbidden", "401 Unauthorized"])
def test_mirror_that_says_no_is_not_asked_again(status: str, tmp_path: Path) -> None:
    with Hostile(says(status)) as mirror, pytest.raises(NotThere) as error:
        get(network(30), tmp_path / "part", mirror.url)
    assert len(mirror.paths) == 1
    assert bool(error.value.failing) is (status[:3] in {"403", "401"})


def test_mirror_that_failed_three_times_gets_another_chance_when_nothing_else_is_left(tmp_path: Path) -> None:
    with Hostile(turns(*[says("502 Bad Gateway")] * 4, whole)) as mirror:
        known = network(60)
        for _ in range(3):
            known.hosts.failed(mirror.url, "it answers 502")
        assert get(known, tmp_path / "part", mirror.url) == CONTENT


def test_retry_after_is_waited_for_and_one_beyond_the_patience_is_the_end(tmp_path: Path) -> None:
    began = time.monotonic()
    with Hostile(turns(says("429 Slow", Retry_After="3"), whole)) as mirror:
        assert get(network(30), tmp_path / "part", mirror.url) == CONTENT
    assert 3 <= time.monotonic() - began < 20
    began = time.monotonic()
    with Hostile(says("429 Slow", Retry_After="3600")) as mirror, pytest.raises(NotThere, match="Retry-After: 3600 s"):
        get(network(30), tmp_path / "part", mirror.url)
    assert time.monotonic() - began < 3


def test_retry_after_counts_for_all_files_of_the_host(tmp_path: Path) -> None:
    with Hostile(says("429 Slow", Retry_After="3600")) as mirror, Hostile(whole) as other:
        known = network(30)
        for number in range(10):
            with pytest.raises(NotThere, match="429") as error:
                get(known, tmp_path / f"part-{number}", mirror.url)
            assert error.value.failing[0][1].kind == "mirror"
        assert "left alone for 36" in str(error.value) or "left alone for 35" in str(error.value)
        with pytest.raises(Refusal, match="left alone"):
            address = Address(f"{mirror.url}/core/tool.pkg.tar.zst.sig", own=True)
            download.fetch_small(address, tmp_path / "sig", most=100, network=known)
        assert get(known, tmp_path / "part", mirror.url, other.url) == CONTENT
        assert len(mirror.paths) == 1


def test_file_that_waits_for_retry_after_of_another_one_is_had(tmp_path: Path) -> None:
    with Hostile(turns(says("429 Slow", Retry_After="2"), whole)) as mirror:
        known = network(30)
        began = time.monotonic()
        files = [tmp_path / f"part-{number}" for number in range(4)]
        threads = [threading.Thread(target=get, args=(known, file, mirror.url)) for file in files[1:]]
        first = threading.Thread(target=get, args=(known, files[0], mirror.url))
        first.start()
        while not known.hosts.left_alone(Address(mirror.url).host):
            time.sleep(0.01)
        for thread in threads:
            thread.start()
        for thread in (first, *threads):
            thread.join()
        assert all(file.read_bytes() == CONTENT for file in files)
        assert time.monotonic() - began >= 2 and len(mirror.paths) == 5


@pytest.mark.parametrize("first", [says("503 Service Unavailable"), says("429 Slow", Retry_After="1")])
def test_file_that_failed_gets_one_more_try_once_its_host_gave_another(first: Behaviour, tmp_path: Path) -> None:
    """The machine has no patience, so that only the files that come later show that the mirror is well again."""
    fleet = Fleet(tmp_path)
    made = [fleet.package(name, "1-1") for name in ("a", "b", "c")]
    asked: list[str] = []
    second_asked = threading.Event()

    def answer(peer: Peer) -> None:
        asked.append(peer.path)
        if len(asked) == 1:
            second_asked.wait(20)  # after this answer nothing new is asked of the host
            return first(peer)
        if len(asked) == 2:
            second_asked.set()
            time.sleep(1.2)  # the time that the first answer asked for
        peer.answer(next(one for one in made if one.path.name in peer.path).path.read_bytes())

    with Hostile(answer) as mirror:
        machine = Machine(tmp_path, made[0], mirror.url)
        machine.offer(made)
        found = machine.gatherer(limits=Limits()).gather(
            [Wanted(one.name, one.version, one.arch, repository="core") for one in made]
        )
    assert [file.name for file in found] == ["a", "b", "c"]
    assert sorted(set(asked)) == sorted(asked[1:])


def test_file_that_failed_gets_no_other_try_where_its_host_gave_none(tmp_path: Path) -> None:
    made = [Fleet(tmp_path).package(name, "1-1") for name in ("a", "b", "c")]
    with Hostile(says("503 Service Unavailable")) as mirror:
        machine = Machine(tmp_path, made[0], mirror.url)
        machine.offer(made)
        with pytest.raises(Unreachable):
            machine.gatherer().gather([Wanted(one.name, one.version, one.arch, repository="core") for one in made])
        assert len(mirror.paths) == 3


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("999999999999999999999", 60),
        ("-1", 0),
        ("soon", 0),
        ("²", 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 60),
        ("Wed, 99 Foo", 0),
    ],
)
def test_retry_after_of_any_form(text: str, seconds: float) -> None:
    assert retry_after.seconds(text, most=60) == seconds


def test_host_that_comes_up_and_a_name_that_never_does(tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *arguments: object) -> None:
            pass

    def serve() -> None:
        time.sleep(2)
        with http.server.HTTPServer(("127.0.0.1", port), Handler) as server:
            server.handle_request()

    thread = threading.Thread(target=serve)
    thread.start()
    assert get(network(30), tmp_path / "part", f"http://127.0.0.1:{port}") == CONTENT
    thread.join()
    began = time.monotonic()
    with pytest.raises(NotThere, match="its name can't be resolved") as error:
        get(network(3), tmp_path / "part", "http://mirror.invalid")
    assert error.value.failing[0][1].kind == "network" and time.monotonic() - began < 40


def test_outage_costs_its_time_once_and_not_for_each_file(tmp_path: Path) -> None:
    began = time.monotonic()
    with Hostile(says("503 Service Unavailable")) as mirror:
        known = network(4)
        for number in range(20):
            with pytest.raises(NotThere):
                get(known, tmp_path / f"part-{number}", mirror.url)
    assert time.monotonic() - began < 10
    assert len(mirror.paths) < 20


def test_patience_of_all_outages_together_has_an_end() -> None:
    known = Patience(outage=5, total=1.0)
    assert 0 < known.pause(0, 0) <= 1
    time.sleep(0.6)
    known.worked()
    assert not known.pause(0, 0.6)  # of all together, less than that is left


def test_silent_mirror_with_progress_is_left_for_the_next_one_which_goes_on(tmp_path: Path) -> None:
    """Each try brings it further, so that alone is no reason to stay; the part that came isn't fetched twice."""
    began = time.monotonic()

    def rest(peer: Peer) -> None:
        offset = int(peer.headers.get("range", "bytes=0-")[6:-1])
        ranges.append(offset)
        if not offset:
            return peer.answer(CONTENT)
        where = f"bytes {offset}-{len(CONTENT) - 1}/{len(CONTENT)}"
        peer.answer(CONTENT[offset:], status="206 Partial Content", Content_Range=where)

    ranges: list[int] = []
    with Hostile(stalls) as silent, Hostile(rest) as good:
        known = network(30)
        for number in range(5):
            assert get(known, tmp_path / f"part-{number}", silent.url, good.url) == CONTENT
    assert len(silent.paths) == 3 and ranges[:3] == [500, 500, 500]
    assert time.monotonic() - began < 10


def test_stop_ends_the_waiting(tmp_path: Path) -> None:
    with Hostile(says("503 Service Unavailable", Retry_After="20")) as mirror:
        known = network(60)
        threading.Timer(0.5, known.stop.set).start()
        began = time.monotonic()
        with pytest.raises(Stopped):
            get(known, tmp_path / "part", mirror.url)
    assert time.monotonic() - began < 10


def test_progress_says_from_where_and_what_is_waited_for(tmp_path: Path) -> None:
    said = io.StringIO()
    progress = Progress(Output(as_json=True, stream=said), 1, len(CONTENT))
    progress._output.interval = 0.0
    with Hostile(turns(says("429 Slow", Retry_After="1"), whole)) as mirror:
        known = network(30, on_host=progress.on_host, on_wait=progress.on_wait)
        get(known, tmp_path / "part", mirror.url)
    events = [json.loads(line) for line in said.getvalue().splitlines()]
    assert any(event["hosts"] == [mirror.url] for event in events)
    waiting = next(event["waiting"] for event in events if event["waiting"])
    assert mirror.url in waiting and "429" in waiting
    assert events[-1]["waiting"] == "" and events[-1]["hosts"] == []


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[Callable[[Package], bytes]]:
    """Signs with a key that the machine beneath `tmp_path` trusts."""
    packager, own = Keys(tmp_path / "packager"), Keys(tmp_path / "gnupg")
    key = packager.make("packager")
    own.learn(packager.export(key), key)

    def sign(package: Package) -> bytes:
        path = packager.sign(package.path, key)
        try:
            return path.read_bytes()
        finally:
            path.unlink()

    yield sign
    packager.stop()
    own.stop()


@pytest.mark.needs("gpg")
def test_signature_that_fails_for_a_moment_is_not_missing(
    package: Package, tmp_path: Path, keys: Callable[[Package], bytes]
) -> None:
    right = keys(package)
    signature = turns(says("503 Oh"), says("429 Slow"), lambda peer: peer.answer(right))
    asked: list[str] = []

    def answer(peer: Peer) -> None:
        asked.append(peer.path)
        if peer.path.endswith(".sig"):
            signature(peer)
        else:
            peer.answer(package.path.read_bytes())

    with Hostile(answer) as mirror:
        machine = Machine(tmp_path, package, mirror.url, REQUIRED)
        with pytest.raises(Unreachable, match="503") as error:
            machine.gather()
        assert error.value.code == "mirror_failed" and machine.left_behind() == []
        machine.gather(patience=30)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520, 429, 408])
def test_server_that_fails_for_a_moment_is_asked_again(status: int) -> None:
    fails, works = says(f"{status} Oh"), lambda peer: peer.answer(b'{"name": "m1"}')
    with Hostile(turns(fails, fails, works)) as server:
        assert Client(server.url, "pse_x").get("/me") == {"name": "m1"}
    with Hostile(fails) as server, pytest.raises(Unavailable):
        Client(server.url, "pse_x", patience=0).get("/me")


def test_pause_grows_and_what_is_asked_for_counts() -> None:
    known = Patience(outage=1000, total=1000)
    pauses = [known.pause(attempt, 0) for attempt in range(8)]
    assert all(0.5 * patience.FIRST <= pause <= patience.LONGEST for pause in pauses)
    assert max(pauses[4:]) > 7 > max(pauses[:2])
    assert known.pause(0, 33) == 33
