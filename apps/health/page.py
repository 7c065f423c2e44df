"""The report as a page for people. It must not find anything out: all that it shows is in the report."""

import time
from calendar import timegm
from typing import Any

from django.conf import settings
from django.shortcuts import resolve_url
from django.template.loader import render_to_string

from apps.health import charts, words

# Everything comes from this server, nothing is inline, nobody may frame it.
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
SIGNS = {"healthy": ("ok", "✓"), "degraded": ("warn", "!"), "unhealthy": ("bad", "✕"), "not_initialized": ("bad", "✕")}
PHASES = ("starting", "serving", "draining", "stopping")
ENDPOINT_TONES = {
    "in_sync": "ok",
    "behind": "warn",
    "ahead": "info",
    "diverged": "bad",
    "unknown": "odd",
    "offline": "off",
}
OPERATION_TONES = {
    "queued": "info",
    "leased": "info",
    "applying": "info",
    "succeeded": "ok",
    "failed": "bad",
    "lost": "warn",
}


def render(report: dict[str, Any]) -> bytes:
    """The page for a report, or for a status alone."""
    context = {
        "report": report,
        "heading": report["status"].capitalize(),
        "tone": SIGNS[report["status"]][0],
        "sign": SIGNS[report["status"]][1],
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
        # Not ready, yet not broken: not as green as ready.
        **({"tone": "info", "sign": "…"} if reason and report["status"] == "healthy" else {}),
        "heading": _heading(report),
        "details": True,
        "sentence": words.SENTENCES[reason],
        "faults": _faults(report["checks"]),
        "usable": usable,
        "counted": ago(report["fleet"]["as_of"]) if report["fleet"] else "",
        "uptime": duration(report["uptime_seconds"]),
        "phases": _phases(report["lifecycle"]),
        "shutdown": _shutdown(report["lifecycle"].get("shutdown")),
        "checks": [_check(check, pooled=pooled) for check in report["checks"]],
        "database": database,
        "gauge": pooled
        and charts.gauge(database["active_connections"], database["idle_connections"], database["max_size"]),
        "tracked": [{"name": work["name"], "age": duration(work["age_seconds"])} for work in report["tracked_work"]],
        "instances": [_instance(row) for row in report["instances"]],
        "endpoints": _tiles(report["fleet"], "endpoints", ENDPOINT_TONES),
        "operations": _tiles(report["fleet"], "operations", OPERATION_TONES),
    }


def _heading(report: dict[str, Any]) -> str:
    """The first words of the page. Whether it leaves comes first: then what it is like concerns nobody for long."""
    phase, status = report["lifecycle"]["phase"], report["status"]
    return f"{phase.capitalize()}, {status}" if phase in ("draining", "stopping") else str(status).capitalize()


def _faults(checks: list[dict[str, Any]]) -> list[dict[str, str]]:
    """What is wrong and what to do, with the components that aren't healthy for that reason of their own."""
    found: dict[tuple[str, str], list[str]] = {}
    for check in checks:
        if check["status"] != "healthy" and check["problem"] not in ("database_unhealthy", "not_checked_yet"):
            said = (words.problem(check["problem"] or ""), check["advice"] or "")
            found.setdefault(said, []).append(check["name"].replace("_", " "))
    return [
        {"label": ", ".join(names).capitalize(), "said": said, "advice": advice}
        for (said, advice), names in found.items()
    ]


def duration(seconds: float) -> str:
    """A time span in at most two units: `12 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    for size, unit, smaller, small_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {small_unit}" if rest else "")
    return f"{whole} s"


def milliseconds(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms" if value < 1000 else duration(value / 1000)


def ago(timestamp: str | None) -> str:
    """How long ago an RFC 3339 time was."""
    if timestamp is None:
        return "not yet"
    return f"{duration(max(0, int(time.time() - timegm(time.strptime(timestamp, '%Y-%m-%dT%H:%M:%SZ')))))} ago".replace(
        ".0", ""
    )


def _check(check: dict[str, Any], *, pooled: bool) -> dict[str, Any]:
    said = words.problem(check["problem"] or "")
    if check["name"] == "dbpool" and not pooled:
        said = said or "With SQLite there is no dbpool: each thread opens the file itself."
    tone, sign = SIGNS[check["status"]]
    return check | {
        "label": check["name"].replace("_", " "),
        "tone": tone,
        "sign": sign,
        "words": check["status"].replace("_", " "),
        "said": said,
        "ago": ago(check["last_check"]),
        "took": milliseconds(check["duration_ms"]) if check["last_check"] else "–",
        "strip": charts.strip(check["history"]),
    }


def _phases(lifecycle: dict[str, Any]) -> list[dict[str, Any]]:
    present = PHASES.index(lifecycle["phase"])
    return [
        {"name": name, "present": index == present, "past": index < present, "since": ago(lifecycle["since"])}
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
        "tone": "bad" if row["lost"] else "ok" if row["phase"] == "serving" else "info",
        "words": "lost" if row["lost"] else row["phase"],
        "age": ago(row["started"]).removesuffix(" ago"),
        "heartbeat": f"{duration(row['heartbeat_age_seconds'])} ago",
    }


def _tiles(fleet: dict[str, Any] | None, name: str, tones: dict[str, str]) -> list[dict[str, Any]]:
    found = (fleet or {}).get(name, {})
    return [
        {"name": key.replace("_", " "), "count": count, "tone": tones.get(key, "off")} for key, count in found.items()
    ]
