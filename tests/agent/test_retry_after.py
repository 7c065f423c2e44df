"""`Retry-After`: any form of it is understood, and the mirrors' and the server's wish is waited for."""

import threading
import time
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.http import retry_after
from apps.agent.pacsync_agent.mirrors import download
from apps.agent.pacsync_agent.mirrors.addresses import Address
from apps.agent.pacsync_agent.mirrors.network import NotThere, Refusal
from tests.agent.failing_mirrors import CONTENT, get, network, says, turns, whole
from tests.support.hostile import Hostile


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
