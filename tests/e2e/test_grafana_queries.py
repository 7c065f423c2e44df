"""Each query of the dashboard, asked of a real Prometheus that scrapes a real server behind HAProxy."""

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import Start
from tests.support.front_door import front_door
from tests.support.load import get
from tests.support.monitoring import Monitor, prometheus
from tests.support.server import ROOT
from tests.support.wait import until
from tests.vulnerabilities.lists import COPY

DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "pacman-sync.json"
# The only query without an answer while nothing is wrong: no instance shuts down. The test lets one do so.
ONLY_AT_THE_END = 'pacsync_shutdown_duration_seconds{job="pacman-sync-instances"} > 0'


def queries() -> list[str]:
    """As Grafana sends them: it puts an interval of at least four scrapes in."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [query.replace("$__rate_interval", "1m") for query in found]


def unanswered(monitor: Monitor, asked: list[str]) -> list[str]:
    return [query for query in asked if not monitor.query(query)]


@pytest.mark.needs("prometheus", "haproxy")
@pytest.mark.timeout(300)
def test_every_query_of_the_dashboard_has_an_answer(tmp_path: Path, playground: Start, postgres_url: str) -> None:
    usual = [query for query in queries() if query != ONLY_AT_THE_END]
    assert len(usual) == len(queries()) - 1 > 30
    with (
        playground(postgres_url, SHUTDOWN_TIMEOUT=120, SHUTDOWN_DRAIN_DELAY=60, SECURITY_TRACKER_URL=COPY) as server,
        front_door([server.port]) as door,
        prometheus(tmp_path, {"pacman-sync-instances": [server.port], "haproxy": [door.monitoring]}) as monitor,
    ):
        get(door.port, "/task/100000")  # tracked work
        assert get(door.port, "/api/v1/me")[0] == 401
        until(lambda: not unanswered(monitor, usual), 60, otherwise=lambda: unanswered(monitor, usual))
        assert not monitor.query(ONLY_AT_THE_END)
        server.signal(signal.SIGTERM)
        until(lambda: monitor.query(ONLY_AT_THE_END), 60)
