"""The report as a page for people. It must not find out anything itself: whatever it shows is in the report."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.shortcuts import resolve_url
from django.template.loader import render_to_string

from apps.fleet.status_badges import ENDPOINT_BADGES, OPERATION_BADGES, Badge
from apps.health.checking import explanations
from apps.health.checking.readiness_sentences import SENTENCES
from apps.health.detailed import charts
from apps.health.detailed.status_badges import CHECK_BADGES, NOT_READY_BADGE, PHASE_BADGES
from apps.lifecycle.ages import ago, duration

# Everything comes from this server, nothing is inline, and no other page may frame it.
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
)
REFRESH = 5  # seconds
PHASES = ("starting", "serving", "draining", "stopping")


def render(report: dict[str, Any]) -> bytes:
    """The page for a report, or for a status alone."""
    context = {
        "report": report,
        "heading": report["status"].capitalize(),
        "badge": _badge(report),
        "refresh": REFRESH,
        "login": f"{resolve_url(settings.LOGIN_URL)}?next=/health/detailed",
    }
    return render_to_string("health/detailed.html", context | (_details(report) if "checks" in report else {})).encode()


def _details(report: dict[str, Any]) -> dict[str, Any]:
    database = report["components"]["database"]
    pooled = "size" in database
    reason = report["readiness"].get("reason", "")
    usable = report["components"]["database"]["status"] in ("healthy", "degraded")
    return {
        "heading": _heading(report),
        "details": True,
        "sentence": SENTENCES[reason].page,
        "faults": _faults(report["checks"]),
        "usable": usable,
        "counted": _ago(report["fleet"]["as_of"]) if report["fleet"] else "",
        "uptime": duration(report["uptime_seconds"]),
        "phases": _phases(report["lifecycle"]),
        "shutdown": _shutdown(report["lifecycle"].get("shutdown")),
        "checks": [_check(check, pooled=pooled) for check in report["checks"]],
        "database": database,
        "measured": pooled and _measured(database["sample_age_seconds"]),
        "gauge": pooled
        and charts.gauge(database["active_connections"], database["idle_connections"], database["max_size"]),
        "tracked": [{"name": work["name"], "age": duration(work["age_seconds"])} for work in report["tracked_work"]],
        "instances": [_instance(row) for row in report["instances"]],
        "endpoints": _tiles(report["fleet"], "endpoints", ENDPOINT_BADGES),
        "operations": _tiles(report["fleet"], "operations", OPERATION_BADGES),
    }


def _badge(report: dict[str, Any]) -> Badge:
    """The badge of the whole page. Not ready, but not broken: not as green as ready."""
    if report["status"] == "healthy" and report.get("readiness", {}).get("reason"):
        return NOT_READY_BADGE
    return CHECK_BADGES[report["status"]]


def _heading(report: dict[str, Any]) -> str:
    """The heading of the page. If the instance is leaving, that comes first: then its health matters less."""
    phase, status = report["lifecycle"]["phase"], report["status"]
    return f"{phase.capitalize()}, {status}" if phase in ("draining", "stopping") else str(status).capitalize()


def _faults(checks: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What is wrong and what to do, each with the components that have the problem themselves."""
    found: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        if check["status"] != "healthy" and check["problem"] not in ("database_unhealthy", "not_checked_yet"):
            said = (explanations.problem(check["problem"] or ""), check["advice"] or "")
            found.setdefault(said, []).append(check["name"].replace("_", " "))
    return [
        {"label": ", ".join(names).capitalize(), "said": said, "advice": advice}
        for (said, advice), names in found.items()
    ]


def milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms" if value < 1000 else duration(value / 1000)


def _now() -> datetime:
    return datetime.now(UTC)


def _ago(timestamp: str | None) -> str:
    """How long ago an RFC 3339 time was."""
    return ago(datetime.fromisoformat(timestamp), _now()) if timestamp else "not yet"


def _measured(age: float | None) -> str:
    return "not yet" if age is None else f"{_seconds_ago(age)}, over all workers"


def _seconds_ago(seconds: float) -> str:
    now = _now()
    return ago(now - timedelta(seconds=seconds), now)


def _since(timestamp: str) -> str:
    """How long something has lasted that began at an RFC 3339 time."""
    return duration(max(0, int((_now() - datetime.fromisoformat(timestamp)).total_seconds())))


def _check(check: dict[str, Any], *, pooled: bool) -> dict[str, Any]:
    problem = explanations.problem(check["problem"] or "")
    if check["name"] == "dbpool" and not pooled:
        problem = problem or "With SQLite there is no dbpool: each thread opens the file itself."
    return check | {
        "label": check["name"].replace("_", " "),
        "badge": CHECK_BADGES[check["status"]],
        "problem_text": problem,
        "ago": _ago(check["last_check"]),
        "took": milliseconds(check["duration_ms"]) if check["last_check"] else "–",
        "strip": charts.strip(check["history"]),
    }


def _phases(lifecycle: dict[str, Any]) -> list[dict[str, Any]]:
    current = PHASES.index(lifecycle["phase"])
    return [
        {"name": name, "current": index == current, "past": index < current, "lasted": _since(lifecycle["since"])}
        for index, name in enumerate(PHASES)
    ]


def _shutdown(status: dict[str, Any] | None) -> dict[str, Any] | None:
    return status and status | {
        "elapsed": duration(status["elapsed_seconds"]),
        "waiting": [f"{count} × {name}" for name, count in status["waiting_for"].items()],
    }


def _instance(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        "label": row.get("name") or row["id"][:8],
        "badge": PHASE_BADGES["lost" if row["lost"] else row["phase"]],
        "up": _since(row["started"]),
        "heartbeat": _seconds_ago(row["heartbeat_age_seconds"]),
    }


def _tiles(fleet: dict[str, Any] | None, name: str, badges: dict[str, Badge]) -> list[dict[str, Any]]:
    found = (fleet or {}).get(name, {})
    return [{"name": badges[key].label, "count": count, "tone": badges[key].tone} for key, count in found.items()]
