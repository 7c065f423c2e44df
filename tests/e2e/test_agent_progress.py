"""A real agent under a real pacman tells its server how far it is, and the operation what it changed."""

import time
from pathlib import Path

import pytest

from tests.e2e.test_agent_at_work import SILENT, behind
from tests.support import agent
from tests.support.site import Site

pytestmark = [pytest.mark.needs("pacman"), pytest.mark.needs("bash-static")]


def test_sync_tells_how_far_it_is_and_then_what_it_changed(site: Site, tmp_path: Path) -> None:
    one, name, _ = behind(site, tmp_path)
    one.slow_down(4 * SILENT)
    process = agent.start(one, "sync")
    seen: list[dict[str, object]] = []
    while process.poll() is None and not (seen and seen[-1]["phase"] == "applying"):
        found = site.operations(name)
        if found and found[0]["progress"]:
            seen.append(found[0]["progress"])
        time.sleep(0.2)
    out, _ = process.communicate(timeout=100)
    assert process.returncode == 0, out
    assert seen and (seen[-1]["phase"], seen[-1]["total"]) == ("applying", 1), seen
    (operation,) = site.operations(name)
    assert operation["progress"] is None
    packages = site.call("GET", f"/operations/{operation['id']}")["packages"]
    assert packages["what"] == "changed" and [change["name"] for change in packages["changes"]] == ["tool"]
