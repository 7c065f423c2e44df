"""What is counted and timed as it happens. It must not know how the numbers are kept or written out.

Label values are known: a made-up address counts as `unmatched`, a made-up method as `other`. Nobody sends every method
to every route but a scanner; what then has no room counts as the route `other`.
"""

from bisect import bisect_left

from apps.health.metrics import counters
from apps.health.metrics.counters import Counter, Histogram
from apps.health.metrics.worker_memory import WorkerMemory
from apps.lifecycle.shared_memory.snapshots import DbpoolSample

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER_ROUTE = "other"
_SPARE = 48 * 1024  # bytes that the series of routes leave: for `other` with every method and status, and for the rest
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
_requests: dict[tuple[str, str, str], tuple[int, int]] = {}
counters.KEPT.append(_requests)


def count_request(route: str, method: str, status: str, seconds: float) -> None:
    """`status` is the three digits. Both meters share one lock: a probe costs the server hardly more than this."""
    memory = counters.own()
    with memory.lock:
        counter, histogram = _requests.get((route, method, status)) or _bind(memory, route, method, status)
        if counter >= 0 and histogram >= 0:
            memory.doubles[counter] += 1.0
            memory.doubles[histogram + bisect_left(_LATENCIES, seconds)] += 1.0
            memory.doubles[histogram + len(_LATENCIES) + 1] += seconds


def _bind(memory: WorkerMemory, route: str, method: str, status: str) -> tuple[int, int]:
    """Where a request of this kind is counted and where it is timed."""
    known = method if method in METHODS else "other"
    found = _positions(memory, route, known, status, _SPARE)
    if min(found) < 0:
        found = _positions(memory, OTHER_ROUTE, known, status)
    if known == method:  # invented methods must not fill the memory
        _requests[route, method, status] = found
    return found


def _positions(memory: WorkerMemory, route: str, method: str, status: str, spare: int = 0) -> tuple[int, int]:
    timed = REQUEST_SECONDS.position(memory, (route, method), spare)
    return REQUESTS.position(memory, (route, method, status), spare) if timed >= 0 else -1, timed


def count_check(name: str, status: str, seconds: float) -> None:
    CHECKS.increase(name, status)
    CHECK_SECONDS.observe(seconds, name)


class DbpoolCounts:
    """Counts what this process's dbpool counts: its own numbers end with the process."""

    def __init__(self) -> None:
        self._last = DbpoolSample()

    def add(self, sample: DbpoolSample | None) -> None:
        """Add what was counted since the last call; None: there is no dbpool."""
        if sample is not None:
            DBPOOL_EXHAUSTED.increase(by=max(0, sample.exhausted - self._last.exhausted))
            DBPOOL_ERRORS.increase(by=max(0, sample.errors - self._last.errors))
            self._last = sample


count_dbpool = DbpoolCounts().add
