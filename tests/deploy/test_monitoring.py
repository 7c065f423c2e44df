"""A real Prometheus that scrapes the scaled stack: targets, rules, every metric that is used, an alert that fires."""

import json
import re
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.deploy.conftest import Figures, require_images
from tests.deploy.engine import PROMETHEUS, Stack, docker, eventually, fetch, run, status
from tests.deploy.load import Load
from tests.deploy.scaled import SERVER, Traffic, up
from tests.deploy.test_prometheus import used_metrics

pytestmark = pytest.mark.timeout(600)
# Only there once something happened that this test doesn't bring about, or with SECURITY_TRACKER_URL.
RARE = re.compile(r"pacsync_(tracked_work|dbpool_(exhausted|errors)|fleet_vulnerab).*")


@pytest.fixture(scope="module")
def prometheus(scaled: Stack, tokens: list[str]) -> Iterator[Stack]:
    require_images(PROMETHEUS)
    scaled.compose("--profile", "monitoring", "up", "-d", "--no-deps", "prometheus")
    eventually(
        lambda: status(scaled.ports["PROMETHEUS_PORT"], "/-/ready") == 200, within=60, what="Prometheus is ready"
    )
    with Load(scaled.port, Traffic(tokens), rate=20, limit=30):
        eventually(lambda: len(targets(scaled, "pacman-sync-instances")) == 3, within=60, what="three targets")
        eventually(lambda: all(healths(scaled)), within=60, what="every target is up")
    yield scaled
    docker("rm", "-f", "-v", *scaled.containers("prometheus"))


def ask(project: Stack, path: str) -> dict[str, object]:
    code, _, body = fetch(project.ports["PROMETHEUS_PORT"], f"/api/v1/{path}")
    assert code == 200, body
    found = json.loads(body)["data"]
    assert isinstance(found, dict)
    return found


def targets(project: Stack, job: str = "") -> list[dict[str, object]]:
    found: list[dict[str, object]] = ask(project, "targets?state=active")["activeTargets"]  # type: ignore[assignment]
    return [target for target in found if not job or target["labels"]["job"] == job]  # type: ignore[index]


def healths(project: Stack) -> list[bool]:
    return [target["health"] == "up" for target in targets(project)]


def value(project: Stack, query: str) -> list[object]:
    found: list[object] = ask(project, f"query?query={quote(query)}")["result"]  # type: ignore[assignment]
    return found


def test_every_target_is_scraped_without_an_error(prometheus: Stack) -> None:
    found = targets(prometheus)
    jobs = [target["labels"]["job"] for target in found]  # type: ignore[index]
    assert sorted(set(jobs)) == ["haproxy", "pacman-sync-health", "pacman-sync-instances", "prometheus"]
    assert [target["lastError"] for target in found] == [""] * len(found)


def test_rules_are_loaded_and_healthy(prometheus: Stack) -> None:
    groups: list[dict[str, list[dict[str, str]]]] = ask(prometheus, "rules")["groups"]  # type: ignore[assignment]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) >= 10
    eventually(lambda: all(rule["health"] in ("ok", "unknown") for rule in rules), within=30)


def test_every_metric_of_rules_and_dashboard_has_samples(prometheus: Stack) -> None:
    names = [name for name in used_metrics() if not RARE.fullmatch(name)]

    def absent() -> list[str]:
        return [name for name in names if not value(prometheus, f'{{__name__="{name}", job="pacman-sync-instances"}}')]

    eventually(lambda: not absent(), within=60, every=2, what=f"samples of {absent()}")


def test_documented_scrape_of_the_load_balancer_gives_the_health(prometheus: Stack) -> None:
    assert value(prometheus, 'pacsync_healthy{job="pacman-sync-health"} == 1')


def test_stopping_an_instance_fires_an_alert(prometheus: Stack, three: Stack) -> None:
    docker("stop", "-t", "45", three.containers(SERVER)[0])

    def told() -> list[object]:
        return value(prometheus, 'ALERTS{alertstate="firing", alertname=~"PacSyncFewerInstances|PacSyncInstanceDown"}')

    eventually(told, within=150, every=2, what="an alert fires")


def firing(project: Stack, name: str) -> bool:
    return bool(value(project, f'ALERTS{{alertstate="firing", severity="critical", alertname="{name}"}}'))


def fires(project: Stack, name: str, figures: Figures, cause: str) -> None:
    """Wait for the alert, and print how long it took. (Within a minute on an idle machine; promtool tests the rule.)"""
    took = eventually(lambda: firing(project, name), within=150, every=1, what=f"{name} fires")
    figures(f"{cause}: {name} fires after {took:.0f} s")


def test_haproxy_in_a_crash_loop_fires_a_critical_alert(prometheus: Stack, three: Stack, figures: Figures) -> None:
    (haproxy,) = three.containers("haproxy")
    over = threading.Event()

    def crash() -> None:
        while not over.wait(7):
            run("docker", "exec", haproxy, "bash", "-c", "kill -9 $(cat /proc/1/task/1/children)", check=False)

    assert not firing(prometheus, "PacSyncFrontDoorRestarting")
    crashing = threading.Thread(target=crash)
    crashing.start()
    try:
        either = "PacSyncFrontDoorRestarting|PacSyncFrontDoorDown"
        query = f'ALERTS{{alertstate="firing", severity="critical", alertname=~"{either}"}}'
        took = eventually(lambda: value(prometheus, query), within=150, every=1, what="an alert fires")
        figures(f"HAProxy killed every 7 s: a critical alert fires after {took:.0f} s")
    finally:
        over.set()
        crashing.join(60)
        docker("restart", "-t", "45", haproxy)
        three.ready()


def test_stopped_haproxy_fires_a_critical_alert(prometheus: Stack, three: Stack, figures: Figures) -> None:
    (haproxy,) = three.containers("haproxy")
    assert not firing(prometheus, "PacSyncFrontDoorDown")
    docker("stop", "-t", "45", haproxy)
    try:
        fires(prometheus, "PacSyncFrontDoorDown", figures, "HAProxy stopped")
    finally:
        docker("start", haproxy)
        three.ready()


def test_no_instance_fires_a_critical_alert(prometheus: Stack, three: Stack, figures: Figures) -> None:
    docker("stop", "-t", "45", *three.containers(SERVER))
    fires(prometheus, "PacSyncServiceDown", figures, "every instance stopped")


def test_instance_killed_before_its_shutdown_is_over_is_told_by_the_others(prometheus: Stack, three: Stack) -> None:
    victim = three.containers(SERVER)[0]
    docker("kill", "-s", "TERM", victim)
    eventually(lambda: len(up(three)) == 2, within=15, every=0.05, what="it drains")
    time.sleep(1)  # its row says so
    docker("kill", "-s", "KILL", victim)
    told = 'max(pacsync_shutdown_overruns{job="pacman-sync-instances"}) == 1'
    eventually(lambda: value(prometheus, told), within=150, every=2, what="the others tell it")
