"""The report of /health/detailed as one dictionary: the documented fields (docs/health.md), and more.

It must not know HTTP. `names` says whether the reader may see the names of machines, and the version of Python.
"""

import platform
import time
from typing import Any

from django.conf import settings

from apps.health import probes
from apps.health.checking import instance_health
from apps.health.checking.instance_health import ComponentHealth, InstanceHealth
from apps.health.checks.registered import Impact
from apps.health.detailed import fleet_summary
from apps.health.probes import rfc3339
from apps.lifecycle import shutdown
from apps.lifecycle.shared_memory import instance, phase, snapshots
from apps.lifecycle.shared_memory.snapshots import InstanceSnapshot


def report(*, names: bool = False) -> dict[str, Any]:
    """The whole report. Reads only memory."""
    health = instance_health.health()
    snapshot = snapshots.snapshot()
    return {
        **headline(health),
        "environment": settings.ENVIRONMENT,
        "readiness": readiness(),
        "components": components(health, snapshot),
        "configuration": configuration(names),
        "lifecycle": lifecycle(snapshot),
        "requests": {"in_flight": snapshot.in_flight, "waiting": snapshot.waiting, "refused": snapshot.refused},
        "tracked_work": tracked_work(snapshot),
        "instances": instances(names),
        "fleet": fleet(),
        "workers": [{"slot": worker.slot, "in_flight": worker.in_flight} for worker in snapshot.workers],
        "checks": [check(component) for component in health.components],
    }


def headline(health: InstanceHealth) -> dict[str, Any]:
    return {
        "status": health.status,
        "service": settings.SERVICE_NAME,
        "version": settings.VERSION,
        "timestamp": probes.timestamp(),
        "uptime_seconds": round(instance.uptime_seconds(), 2),
    }


def status_only() -> dict[str, Any]:
    """The report for a reader who may not see details."""
    return {
        "status": instance_health.health().status,
        "service": settings.SERVICE_NAME,
        "timestamp": probes.timestamp(),
        "details": "private",
    }


def readiness() -> dict[str, Any]:
    found = probes.readiness()
    return {"status": "not_ready", "reason": found.reason} if found.reason else {"status": "ready"}


def components(health: InstanceHealth, snapshot: InstanceSnapshot) -> dict[str, Any]:
    shown: dict[str, Any] = {"database": database(health["database"], snapshot), "dependencies": {}}
    for component in health.components:
        if component.registered.impact is Impact.DEPENDENCY:
            shown["dependencies"][component.name] = component.outcome.status
        elif component.registered.impact is not Impact.DATABASE:
            shown[component.name] = {"status": component.outcome.status, "last_check": when(component.outcome.at)}
    return shown


def database(component: ComponentHealth, snapshot: InstanceSnapshot) -> dict[str, Any]:
    outcome = component.outcome
    shown = {
        "status": outcome.status,
        "type": settings.DATABASE_TYPE,
        "response_time_ms": round(outcome.seconds * 1000, 2),
        "last_check": when(outcome.at),
    }
    if settings.DATABASE_TYPE == "sqlite":
        return shown | {"connection_status": "connected" if outcome.status.works else "disconnected"}
    sampled = [worker.sampled for worker in snapshot.workers if worker.sampled]
    pool = snapshot.dbpool or snapshots.DbpoolSample()
    return shown | {
        "size": pool.size,
        "min_size": settings.DB_POOL_MIN_SIZE,
        "max_size": settings.DB_POOL_MAX_SIZE,
        "idle_connections": pool.idle,
        "active_connections": pool.active,
        "waiting_requests": pool.waiting,
        "sample_age_seconds": round(time.time() - min(sampled), 1) if sampled else None,
    }


def check(component: ComponentHealth) -> dict[str, Any]:
    """One check with its history, for people and for graphs."""
    outcome = component.outcome
    return {
        "name": component.name,
        "status": outcome.status,
        "problem": outcome.problem or None,
        "advice": component.advice or None,
        "duration_ms": round(outcome.seconds * 1000, 2),
        "last_check": when(outcome.at),
        "history": [
            {"status": entry.status, "duration_ms": round(entry.seconds * 1000, 2), "at": rfc3339(entry.at)}
            for entry in component.history
        ],
    }


def configuration(names: bool) -> dict[str, Any]:
    return {
        "database_type": settings.DATABASE_TYPE,
        "pool_size": f"{settings.DB_POOL_MIN_SIZE}-{settings.DB_POOL_MAX_SIZE}",
        "cors_enabled": bool(settings.CORS_ALLOWED_ORIGINS),
        "features": {
            "repository_analysis": settings.ENABLE_REPOSITORY_ANALYSIS,
            "auto_cleanup": settings.AUTO_CLEANUP_OLD_STATES,
        },
        "health_check_interval": settings.HEALTH_CHECK_INTERVAL,
        "shutdown_timeout": settings.SHUTDOWN_TIMEOUT,
        "shutdown_drain_delay": settings.SHUTDOWN_DRAIN_DELAY,
        **({"python": platform.python_version()} if names else {}),
    }


def lifecycle(snapshot: InstanceSnapshot) -> dict[str, Any]:
    shown: dict[str, Any] = {"phase": snapshot.phase, "since": rfc3339(snapshot.phase_since)}
    status = shutdown.status()
    if status:
        shown["shutdown"] = {
            "signal": status.signal or None,
            "started": rfc3339(status.started),
            "deadline": rfc3339(status.deadline) if status.deadline else None,
            "elapsed_seconds": round(time.time() - status.started, 1),
            "waiting_for": status.waiting_for,
        }
    return shown


def tracked_work(snapshot: InstanceSnapshot) -> list[dict[str, Any]]:
    """The tracked work, oldest first."""
    now = time.time()
    return [
        {"name": name, "age_seconds": round(max(0.0, now - started), 1)}
        for name, started in sorted(snapshot.tracked, key=lambda work: work[1])
    ]


def instances(names: bool) -> list[dict[str, Any]]:
    """All instances that share this database. Their names are machine names, which only some readers may see."""
    found = fleet_summary.latest("instances") or {"at": time.time(), "instances": []}
    since = time.time() - found["at"]
    rows = found["instances"]
    if not any(row["id"] == str(instance.identity()) for row in rows):
        rows = [*rows, this_instance()]  # not registered yet, or the registry can't be read
    return [
        {
            "id": row["id"],
            **({"name": row["name"]} if names else {}),
            "this": row["id"] == str(instance.identity()),
            "version": row["version"],
            "phase": phase.current() if row["id"] == str(instance.identity()) else row["phase"],
            "lost": row["lost"],
            "workers": row["workers"],
            "started": rfc3339(row["started"]),
            "heartbeat_age_seconds": round(row["heartbeat_age"] + since, 1),
            "dbpool": row["dbpool"],
        }
        for row in rows
    ]


def this_instance() -> dict[str, Any]:
    """The row of this instance in the registry, as it will be or would be, with a heartbeat now."""
    snapshot = snapshots.snapshot()
    pool = snapshot.dbpool
    return {
        "id": str(instance.identity()),
        "name": instance.name(),
        "version": settings.VERSION,
        "phase": snapshot.phase,
        "lost": False,
        "workers": len(snapshot.workers),
        "started": instance.started(),
        "heartbeat_age": 0.0,
        "dbpool": {"size": pool.size, "max_size": pool.max_size} if pool else {},
    }


def fleet() -> dict[str, Any] | None:
    """How many pools, endpoints and operations there are; None before the first count."""
    found = fleet_summary.latest()
    return found and {
        "pools": found["pools"],
        "endpoints": found["endpoints"],
        "operations": found["operations"],
        "as_of": rfc3339(found["at"]),
    }


def when(at: float) -> str | None:
    """The time as text; None if there is none yet."""
    return rfc3339(at) if at else None
