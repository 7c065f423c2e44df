"""From a fault to the receiver: real servers, Prometheus, Alertmanager, and a webhook that takes the messages."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.migrated import MigratedPostgres
from tests.support.monitoring import Monitor, alertmanager, prometheus, webhook
from tests.support.server import Server
from tests.support.wait import until

pytestmark = [pytest.mark.needs("prometheus", "prometheus-alertmanager"), pytest.mark.timeout(300)]


def test_alerts_of_an_instance_and_of_the_database_reach_their_receivers(
    tmp_path: Path, postgres: MigratedPostgres
) -> None:
    url = postgres.url()
    with (
        Server(url).started() as one,
        Server(url).started() as other,
        webhook() as receiver,
        alertmanager(tmp_path, receiver, "a-token") as manager,
        prometheus(tmp_path, {"pacman-sync-instances": [one.port, other.port]}, manager.port) as monitor,
    ):
        until(lambda: len(monitor.query("pacsync_ready == 1")) == 2, 60)
        other.kill()
        told = until(lambda: named(receiver.alerts("/team"), "PacSyncInstanceDown"), 60)
        assert told["labels"]["severity"] == "warning"
        assert told["labels"]["instance"] == f"127.0.0.1:{other.port}"
        assert told["annotations"]["summary"] == f"127.0.0.1:{other.port} does not answer"
        assert told["annotations"]["runbook"] == "docs/operations/runbook.md#an-instance-does-not-answer"

        postgres.stop()
        told = until(lambda: named(receiver.alerts("/on-call"), "PacSyncDatabaseDown"), 60)
        assert (told["status"], told["labels"]["severity"]) == ("firing", "critical")
        until(lambda: kept_back(manager) >= {"PacSyncServiceDown", "PacSyncNotReady"}, 60)
        assert {alert["labels"]["alertname"] for alert in receiver.alerts("/on-call")} == {"PacSyncDatabaseDown"}
    assert {authorization for _, authorization, _ in receiver.received} == {"Bearer a-token"}


def named(alerts: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The first alert of this name; nothing if there is none."""
    return next((alert for alert in alerts if alert["labels"]["alertname"] == name), {})


def kept_back(manager: Monitor) -> set[str]:
    """The alerts of which nobody is told, because of another one."""
    return {alert["labels"]["alertname"] for alert in manager.ask("/api/v2/alerts") if alert["status"]["inhibitedBy"]}
