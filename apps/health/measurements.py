"""What is counted and timed as it happens. It must not know how it is kept or written out.

Label values are few and known: an address that somebody made up is counted as `unmatched`, a method as `other`.
"""

from bisect import bisect_left

from apps.health import meters
from apps.health.ledger import Ledger
from apps.health.meters import Counter, Histogram
from apps.health.results import Outcome
from apps.lifecycle.board import DbpoolSample

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_LATENCIES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

REQUESTS = Counter(
    "pacsync_http_requests", "HTTP requests that were answered, probes included.", ("route", "method", "status")
)
REQUEST_SECONDS = Histogram(
    "pacsync_http_request_duration_seconds",
    "Seconds from a request's headers to its answer's.",
    ("route", "method"),
    _LATENCIES,
)
CHECKS = Counter("pacsync_health_checks", "Health checks that ended, by what they found.", ("check", "status"))
CHECK_SECONDS = Histogram(
    "pacsync_health_check_duration_seconds", "Seconds that a health check took.", ("check",), _LATENCIES[:12]
)
DBPOOL_EXHAUSTED = Counter("pacsync_dbpool_exhausted", "Requests that got no database connection in time.")
DBPOOL_ERRORS = Counter("pacsync_dbpool_errors", "Database connections that were lost or could not be made.")
_counted = DbpoolSample()
_requests: dict[tuple[str, str, str], tuple[int, int]] = {}
meters.KEPT.append(_requests)


def count_request(route: str, method: str, status: str, seconds: float) -> None:
    """`status` is the three digits. Both meters under one lock: a probe costs the server hardly more than this."""
    ledger = meters.own()
    with ledger.lock:
        counter, histogram = _requests.get((route, method, status)) or _bind(ledger, route, method, status)
        if counter >= 0 and histogram >= 0:
            ledger.doubles[counter] += 1.0
            ledger.doubles[histogram + bisect_left(_LATENCIES, seconds)] += 1.0
            ledger.doubles[histogram + len(_LATENCIES) + 1] += seconds


def _bind(ledger: Ledger, route: str, method: str, status: str) -> tuple[int, int]:
    """Where a request of this kind is counted and where it is timed."""
    known = method if method in METHODS else "other"
    found = REQUESTS.position(ledger, (route, known, status)), REQUEST_SECONDS.position(ledger, (route, known))
    if known == method:  # who makes methods up doesn't fill our memory
        _requests[route, method, status] = found
    return found


def count_check(name: str, outcome: Outcome) -> None:
    CHECKS.increase(name, str(outcome.status))
    CHECK_SECONDS.observe(outcome.seconds, name)


def count_dbpool(sample: DbpoolSample | None) -> None:
    """Add what this process's dbpool has counted since the last call: its own numbers end with the process."""
    global _counted
    if sample is not None:
        DBPOOL_EXHAUSTED.increase(by=max(0, sample.exhausted - _counted.exhausted))
        DBPOOL_ERRORS.increase(by=max(0, sample.errors - _counted.errors))
        _counted = sample
