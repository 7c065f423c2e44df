"""Prometheus' files, read and tested by promtool; the dashboard's and the rules' names against the server's code."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy.engine import ROOT, run

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = ("rules.yml", "haproxy.yml")
TESTS = ("rules_test.yml", "haproxy_test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "pacman-sync.json"


@pytest.mark.needs("promtool")
def test_prometheus_configuration_and_rules_are_valid() -> None:
    run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")


@pytest.mark.needs("promtool")
@pytest.mark.parametrize("name", TESTS)
def test_alerts_fire_when_they_should_and_only_then(name: str) -> None:
    run("promtool", "test", "rules", PROMETHEUS / name)


@pytest.mark.needs("promtool")
def test_tests_of_the_front_door_are_red_without_its_rules(tmp_path: Path) -> None:
    """The twin: what rules.yml alone says when HAProxy is gone or restarted all the time, which is nothing."""
    for name in ("rules.yml", "haproxy_test.yml"):
        shutil.copy(PROMETHEUS / name, tmp_path)
    (tmp_path / "haproxy.yml").write_text("groups: []\n")
    done = run("promtool", "test", "rules", tmp_path / "haproxy_test.yml", check=False)
    assert done.returncode != 0
    for alert in ("PacSyncFrontDoorDown", "PacSyncFrontDoorRestarting"):
        assert f"alertname: {alert}" in done.stdout + done.stderr


def test_every_alert_has_a_test_and_a_place_in_the_runbook() -> None:
    rules, tests = ("".join((PROMETHEUS / name).read_text() for name in names) for names in (RULES, TESTS))
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert len(alerts) >= 8
    assert [alert for alert in alerts if f"alertname: {alert}\n" not in tests] == []
    documents = [yaml.safe_load((PROMETHEUS / name).read_text()) for name in RULES]
    found = [rule for document in documents for group in document["groups"] for rule in group["rules"]]
    pages = {rule["alert"]: rule["annotations"].get("runbook", "") for rule in found if "alert" in rule}
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "operations" / "runbook.md").read_text(), re.MULTILINE)
    sections = {f"docs/operations/runbook.md#{title.lower().replace(' ', '-')}" for title in headings}
    assert {name: page for name, page in pages.items() if page not in sections} == {}


def test_documented_scrape_of_the_load_balancer_is_there() -> None:
    text = (PROMETHEUS / "prometheus.yml").read_text()
    assert re.search(r'pacman-sync-health\n.*?"haproxy:8080".*?/health/detailed.*?30s', text, re.DOTALL)


def used_metrics() -> set[str]:
    """Every metric of ours that a rule or a panel names."""
    text = (PROMETHEUS / "rules.yml").read_text() + DASHBOARD.read_text()
    return set(re.findall(r"\bpacsync_[a-z_]+", text))


def test_rules_and_dashboard_name_only_metrics_that_the_server_has() -> None:
    code = "".join(path.read_text() for path in (ROOT / "apps" / "health").glob("**/*.py"))
    absent = []
    for name in used_metrics():
        base = re.sub(r"_(total|bucket|sum|count)$", "", name)
        short = base.removeprefix("pacsync_")
        if not re.search(rf'"(pacsync_)?{short}"', code) and name != "pacsync_build_info":
            absent.append(name)
    assert absent == []


def test_dashboard_has_a_title_for_each_panel_and_a_query_in_each() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len(panels) >= 10
    assert all(panel["title"] and panel["targets"][0]["expr"] for panel in panels)
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
