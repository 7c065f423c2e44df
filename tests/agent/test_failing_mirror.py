"""Mirrors and networks that fail for a moment: asked again within the run, once for all files, and with an end."""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.errors import Unreachable
from apps.agent.pacsync_agent.mirrors.network import Limits, NotThere, Stopped
from apps.agent.pacsync_agent.packages.package_file import Wanted
from apps.agent.pacsync_agent.terminal.download_progress import Progress
from apps.agent.pacsync_agent.terminal.output import Output
from tests.agent.failing_mirrors import CONTENT, get, network, says, stalls, turns, whole
from tests.agent.gathering import REQUIRED, GatheringMachine
from tests.support.hostile import Behaviour, Hostile, Peer
from tests.support.keys import Keys
from tests.support.pacman import Fleet, Package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return Fleet(tmp_path_factory.mktemp("fleet")).package("tool", "1:2-1")


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
        machine = GatheringMachine(tmp_path, made[0], mirror.url)
        machine.offer(made)
        found = machine.gatherer(limits=Limits()).gather(
            [Wanted(one.name, one.version, one.arch, repository="core") for one in made]
        )
    assert [file.name for file in found] == ["a", "b", "c"]
    assert sorted(set(asked)) == sorted(asked[1:])


def test_file_that_failed_gets_no_other_try_where_its_host_gave_none(tmp_path: Path) -> None:
    made = [Fleet(tmp_path).package(name, "1-1") for name in ("a", "b", "c")]
    with Hostile(says("503 Service Unavailable")) as mirror:
        machine = GatheringMachine(tmp_path, made[0], mirror.url)
        machine.offer(made)
        with pytest.raises(Unreachable):
            machine.gatherer().gather([Wanted(one.name, one.version, one.arch, repository="core") for one in made])
        assert len(mirror.paths) == 3


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
        machine = GatheringMachine(tmp_path, package, mirror.url, REQUIRED)
        with pytest.raises(Unreachable, match="503") as error:
            machine.gather()
        assert error.value.code == "mirror_failed" and machine.left_behind() == []
        machine.gather(patience=30)
