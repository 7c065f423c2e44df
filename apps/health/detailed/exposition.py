"""The metrics as Prometheus and OpenMetrics text: what was counted, and current gauges. Reads only memory and /proc.

It must not know HTTP except the media types. Names and labels are documented in docs/health.md.
"""

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import django
from django.conf import settings
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.openmetrics import exposition as openmetrics

from apps.health import probes
from apps.health.checking import instance_health
from apps.health.checking.instance_health import InstanceHealth
from apps.health.checking.results import REASONS, CheckStatus
from apps.health.detailed import fleet_summary
from apps.health.detailed.access import Level
from apps.health.detailed.negotiation import OPENMETRICS, parse, quality_of
from apps.health.metrics import counters, instruments, processes
from apps.lifecycle import shutdown
from apps.lifecycle.dbpool import facade, write_state
from apps.lifecycle.shared_memory import instance, snapshots
from apps.lifecycle.shared_memory.phase import Phase
from apps.lifecycle.shared_memory.snapshots import InstanceSnapshot

Pairs = Iterable[tuple[str, float]]
_openmetrics: Callable[[CollectorRegistry], bytes] = openmetrics.generate_latest


def text(accept: str, level: Level) -> tuple[bytes, str]:
    """(what a reader of this level may see, its media type); OpenMetrics if `accept` prefers it."""
    instruments.count_dbpool(facade.sample())
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(level))
    wishes = parse(accept)
    named = any(wish.type == OPENMETRICS for wish in wishes)
    if named and quality_of(OPENMETRICS, wishes) >= quality_of("text/plain", wishes):
        return _openmetrics(registry), openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Collector:
    def __init__(self, level: Level) -> None:
        self.level = level

    def collect(self) -> Iterator[Metric]:
        health = instance_health.health()
        yield from _status(health)
        if self.level is not Level.STATUS:
            snapshot = snapshots.snapshot()
            yield from _checks(health)
            yield from _writes()
            yield from _instance(snapshot, versions=self.level is Level.NAMES)
            yield from _requests(snapshot)
            yield from _dbpool(snapshot)
            yield from _fleet()
            yield from processes.families()
            yield from counters.families()


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pacsync_{name}", documentation, value=value)


def _by(label: str, name: str, documentation: str, pairs: Pairs) -> Metric:
    """A gauge with one label."""
    family = GaugeMetricFamily(f"pacsync_{name}", documentation, labels=(label,))
    for key, value in pairs:
        family.add_metric((key,), value)
    return family


def _one_of(label: str, name: str, documentation: str, keys: Iterable[str], current: str) -> Metric:
    """A gauge per key, 1 for the current one and 0 for the others."""
    return _by(label, name, documentation, ((key, float(key == current)) for key in keys))


def _status(health: InstanceHealth) -> Iterator[Metric]:
    reason = probes.readiness().reason
    statuses = (CheckStatus.HEALTHY, CheckStatus.DEGRADED, CheckStatus.UNHEALTHY)
    yield _gauge("healthy", "Whether requests can be served (1, even when degraded).", health.status.works)
    yield _one_of("status", "health_status", "The status of /health/detailed.", statuses, health.status)
    yield _gauge("ready", "Whether /health/ready says ready.", not reason)
    yield _one_of("reason", "not_ready", "Why /health/ready says not ready.", REASONS, reason)


def _checks(health: InstanceHealth) -> Iterator[Metric]:
    found = [(item.name, item.outcome) for item in health.components]
    works = ((name, float(outcome.status.works)) for name, outcome in found)
    yield _by("check", "health_check_healthy", "Whether this check passes.", works)
    ended = ((name, outcome.at) for name, outcome in found)
    yield _by("check", "health_check_last_timestamp_seconds", "When this check last ended (0: never).", ended)


def _writes() -> Iterator[Metric]:
    problem = write_state.problem()
    yield _gauge("database_writable", "Whether the database took the last write that was due.", not problem)
    text = "Why the database takes no writes."
    yield _one_of("problem", "database_write_problem", text, write_state.PROBLEMS[1:], problem)


def _instance(snapshot: InstanceSnapshot, *, versions: bool) -> Iterator[Metric]:
    build = {"version": settings.VERSION}
    if versions:
        build |= {"python": platform.python_version(), "django": django.__version__}
    yield InfoMetricFamily("pacsync_build", "What is running.", value=build)
    yield _gauge("start_time_seconds", "When the instance started, since 1970.", round(instance.started(), 2))
    yield _gauge("uptime_seconds", "How long the instance has been running.", instance.uptime_seconds())
    yield _gauge("workers", "Worker processes of the instance.", len(snapshot.workers))
    yield _one_of("phase", "lifecycle_phase", "The lifecycle phase.", Phase, snapshot.phase)
    status = shutdown.status()
    elapsed = time.time() - status.started if status else 0.0
    yield _gauge("shutdown_duration_seconds", "How long the drain and shutdown have lasted (0: none).", elapsed)
    ages: dict[str, list[float]] = {}
    for name, started in sorted(snapshot.tracked):
        ages.setdefault(name, []).append(max(0.0, time.time() - started))
    counts = ((name, float(len(found))) for name, found in ages.items())
    yield _by("name", "tracked_work", "Tracked work under way, which a shutdown waits for.", counts)
    oldest = ((name, max(found)) for name, found in ages.items())
    yield _by("name", "tracked_work_oldest_seconds", "Age of the oldest tracked work.", oldest)


def _requests(snapshot: InstanceSnapshot) -> Iterator[Metric]:
    yield _gauge("http_requests_in_flight", "Requests being served, probes excluded.", snapshot.in_flight)
    yield _gauge("http_requests_waiting", "Requests in flight that wait for their turn.", snapshot.waiting)
    yield CounterMetricFamily(
        "pacsync_http_requests_refused", "Requests refused because the instance was full.", value=snapshot.refused
    )


def _dbpool(snapshot: InstanceSnapshot) -> Iterator[Metric]:
    pool = snapshot.dbpool
    if pool is None:
        return
    yield _gauge("dbpool_size", "Open database connections of the instance.", pool.size)
    yield _gauge("dbpool_idle", "Open database connections that are not in use.", pool.idle)
    yield _gauge("dbpool_active", "Database connections in use.", pool.active)
    yield _gauge("dbpool_waiting", "Requests that wait for a database connection.", pool.waiting)
    yield _gauge("dbpool_min_size", "Database connections that the instance keeps open.", settings.DB_POOL_MIN_SIZE)
    yield _gauge("dbpool_max_size", "Database connections that the instance may open.", settings.DB_POOL_MAX_SIZE)
    ages = [time.time() - worker.sampled for worker in snapshot.workers if worker.sampled]
    yield _gauge("dbpool_sample_age_seconds", "Age of the oldest worker sample in these numbers.", max(ages, default=0))


def _fleet() -> Iterator[Metric]:
    registry = fleet_summary.latest("instances")
    if registry:
        lost = [row for row in registry["instances"] if row["lost"]]
        states = {"alive": len(registry["instances"]) - len(lost), "lost": len(lost)}
        yield _by("state", "instances", "Instances that share this database.", states.items())
        # An instance that ends by itself removes its row. It can't be asked: its listener is closed.
        overruns = sum(row["phase"] in {Phase.DRAINING, Phase.STOPPING} for row in lost)
        yield _gauge("shutdown_overruns", "Lost instances that were killed before their shutdown was over.", overruns)
    found = fleet_summary.latest()
    if not found:
        return
    yield _gauge("fleet_pools", "Pools.", found["pools"])
    yield _by("status", "fleet_endpoints", "Endpoints by their derived status.", found["endpoints"].items())
    text = "Endpoints that found files that differ from their packages, whatever their status."
    yield _gauge("fleet_endpoints_files_differ", text, found.get("endpoints_files_differ", 0))
    text = "Endpoints by what they say is left to do after a sync."
    yield _by("left", "fleet_endpoints_after_sync", text, found.get("endpoints_after_sync", {}).items())
    text = "Endpoints with whose token more than one machine reports."
    yield _gauge("fleet_endpoints_token_shared", text, found.get("endpoints_token_shared", 0))
    text = "Endpoints that wait for an operator's approval."
    yield _gauge("fleet_endpoints_awaiting_approval", text, found.get("endpoints_awaiting_approval", 0))
    text = "Endpoints whose health commands failed after their newest finished operation."
    yield _gauge("fleet_endpoints_unhealthy", text, found.get("endpoints_unhealthy", 0))
    yield _by("status", "fleet_operations", "Operations by status.", found["operations"].items())
    text = "Pools that need an operator, by alarm."
    yield _by("alarm", "fleet_pool_alarms", text, found.get("pool_alarms", {}).items())
    text = "Package versions that the fleet has more than one file for."
    yield _gauge("fleet_checksum_conflicts", text, found.get("checksum_conflicts", 0))
    if "vulnerabilities" in found:
        yield from _vulnerabilities(found["vulnerabilities"])
    yield _gauge("fleet_timestamp_seconds", "When these numbers of the fleet were read.", found["at"])


def _vulnerabilities(found: dict[str, Any]) -> Iterator[Metric]:
    text = "Endpoints by the worst severity of a known vulnerability in their packages."
    yield _by("severity", "fleet_vulnerable_endpoints", text, found["endpoints"].items())
    if found["list_as_of"] is not None:
        age = max(0.0, time.time() - found["list_as_of"])
        yield _gauge("fleet_vulnerability_list_age_seconds", "Age of the list of known vulnerabilities.", age)
    text = "Whether the last attempt to get the list of known vulnerabilities failed."
    yield _gauge("fleet_vulnerability_list_failing", text, found["failing"])
    text = "When an attempt to get the list of known vulnerabilities last failed (0: never)."
    yield _gauge("fleet_vulnerability_list_last_failure_timestamp_seconds", text, found["failed"] or 0)
