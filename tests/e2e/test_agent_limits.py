"""What the agent says when the server has a limit: real pacman, real server, both limits set to next to nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import agent
from tests.support.pacman import Fleet
from tests.support.site import Site, running_site

pytestmark = pytest.mark.needs("pacman")
MONTH = "2025/01/01"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site"), STATE_MAX_PACKAGES=2, UPLOAD_QUOTA_PER_HOUR=4) as running:
        yield running


def test_agent_says_which_limit_and_goes_on_when_there_is_room(site: Site, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.snapshot(MONTH, [fleet.package(name, "1-1") for name in ("one", "two", "three")])
    machine = fleet.machine("m1", MONTH)
    machine.install("one", "two", "three")
    site.enroll(site.pool(), machine)  # it reports at once: the first of four uploads
    large = agent.run(machine, "once")
    assert large.code == 3, large
    assert "3 packages" in large.err and "at most 2" in large.err and "STATE_MAX_PACKAGES" in large.err
    machine.pacman("-R", "--noconfirm", "three")
    agent.run(machine, "once").ok()
    machine.pacman("-R", "--noconfirm", "two")
    often = agent.run(machine, "once")
    assert often.code == 5, often
    assert "UPLOAD_QUOTA_PER_HOUR" in often.err and "may be repeated in" in often.err
