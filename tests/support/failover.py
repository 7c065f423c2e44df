"""One failover under load: what was acknowledged before, during and after it, and how long the service was away.

It must not know pytest, nor how the rounds are reported.
"""

import contextlib
import itertools
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.probes import Probes, probe
from tests.support.machines import Acknowledged, LoadMachine, Running, enrol
from tests.support.playground import Playground
from tests.support.postgres import Postgres
from tests.support.proxy import running_proxy
from tests.support.replication import FAULTS, Pair, running_pair
from tests.support.server import Server, manage
from tests.support.wait import until

ROUTES = ("hosts", "proxy")
LIMIT = 60.0  # seconds that a round waits, by default, for the service to come back


@dataclass
class Round:
    """Times are in seconds and count from the promotion. `lost` and `doubled` name operations."""

    fault: str
    route: str
    ready_again: float | str = "never"
    written_again: float | str = "never"
    downs: int = 0
    """How often readiness went from 200 to 503."""
    readiness: list[str] = field(default_factory=list)
    """Each change of the status, and when: seconds from the promotion."""
    slowest: float = 0.0
    acknowledged: int = 0
    finished: int = 0
    after: int = 0
    """Writes that were acknowledged after the promotion."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    tracebacks: int = 0

    def text(self) -> str:
        values = {name: value for name, value in asdict(self).items() if name not in ("fault", "route")}
        return f"{self.fault:7} {self.route:6} " + ", ".join(f"{name} {value}" for name, value in values.items())


def fail_over(
    fault: str,
    route: str,
    *,
    before: float = 3,
    until_promoted: float = 2,
    after: float = 5,
    machines: int = 6,
    limit: float = LIMIT,
    **env: object,
) -> Round:
    """Run one round. `before`, `until_promoted` (from the fault) and `after` (from the first write) are seconds."""
    found = Round(fault, route)
    with running_pair() as pair, _route(pair, route) as (url, move):
        operator = manage(pair.primary.url(), "create_api_token", "ann", "--role", "operator").stdout.strip()
        with _serving(url, **env) as server:
            fleet, stop = enrol(server.port, operator, machines)
            running = Running(fleet, stop)
            with Probes(server.port, "/health/ready") as ready, running:
                time.sleep(before)
                began = time.monotonic()
                FAULTS[fault](pair)
                time.sleep(until_promoted)
                pair.promote()
                promoted = time.monotonic()
                move()
                with contextlib.suppress(AssertionError):
                    until(lambda: running.first_write_after(promoted) and ready.first(200, promoted) != "never", limit)
                time.sleep(after)
            _judge(found, fleet, pair.standby, promoted)
            found.ready_again = _ready_for_good(ready, promoted)
            found.downs = downs(ready, began)
            found.readiness = changes(ready, promoted)
            found.tracebacks = server.log().count("Traceback")
            first = running.first_write_after(promoted)
            found.written_again = round(first - promoted, 2) if first else "never"
    return found


@contextlib.contextmanager
def _route(pair: Pair, route: str) -> Iterator[tuple[str, Callable[[], None]]]:
    if route == "hosts":
        yield pair.hosts(), lambda: None
        return
    with running_proxy(pair.primary.port) as proxy:
        yield f"postgresql://postgres@127.0.0.1:{proxy.port}/postgres", lambda: proxy.move(pair.standby.port)


@contextlib.contextmanager
def _serving(url: str, **env: object) -> Iterator[Server]:
    """The project as it is; with PLAYGROUND_… variables, without one of its protections."""
    defaults: dict[str, object] = {"WEB_CONCURRENCY": 2}
    with (
        tempfile.TemporaryDirectory() as folder,
        Playground(url, Path(folder), **{**defaults, **env}).started() as server,
    ):
        until(lambda: _status(server) == 200)
        yield server


def _status(server: Server) -> int:
    return probe(server.port, "/health/ready")


def _ready_for_good(probes: Probes, moment: float) -> float | str:
    """Seconds from `moment` until readiness is 200 and stays so; 0 when it was never anything else after it."""
    seen = [(began + took - moment, status) for began, took, status in probes.seen if began > moment]
    bad = [when for when, status in seen if status != 200]
    good = [when for when, status in seen if status == 200 and (not bad or when > bad[-1])]
    return round(good[0], 2) if good else "never"


def downs(probes: Probes, moment: float) -> int:
    """How often readiness went from 200 to anything else after that moment."""
    statuses = [status for began, _, status in probes.seen if began > moment - 1]
    return sum(one == 200 and other != 200 for one, other in itertools.pairwise(statuses))


def changes(probes: Probes, moment: float) -> list[str]:
    """Each change of the status, with its time from that moment."""
    groups = itertools.groupby(probes.seen, key=lambda one: one[2])
    return [f"{status} at {next(seen)[0] - moment:.1f}" for status, seen in groups]


def _judge(found: Round, fleet: list[LoadMachine], survivor: Postgres, promoted: float) -> None:
    """Compare what was acknowledged with what the new primary has."""
    with survivor.connect() as connection:
        rows = connection.execute(
            "SELECT id::text, idempotency_key, status, attempt, result_token::text FROM fleet_operation"
        ).fetchall()
        copies = connection.execute(
            "SELECT endpoint_id, seq FROM fleet_endpointstate GROUP BY 1, 2 HAVING count(*) > 1"
        ).fetchall()
    by_id = {str(row[0]): row for row in rows}
    keys = Counter(str(row[1]) for row in rows)
    for machine in fleet:
        for record in machine.done:
            if not record.id:
                continue
            found.acknowledged += 1
            found.finished += record.finished
            row = by_id.get(record.id)
            if row is None or not _is_kept(record, str(row[2]), row[4]):
                found.lost.append(f"{record} is {row}")
            if row and (keys[record.key] != 1 or record.rivals or int(str(row[3])) > 1):
                found.doubled.append(f"{record} is {row}")
        found.problems += machine.problems
        found.slowest = max(found.slowest, round(machine.slowest, 1))
        found.after += sum(moment > promoted for moment in machine.written)
    found.doubled += [f"history {copy}" for copy in copies]
    answers: Counter[object] = sum((machine.answers for machine in fleet), Counter())
    found.answers = {str(answer): count for answer, count in answers.items()}


def _is_kept(record: Acknowledged, status: str, result_token: object) -> bool:
    if record.finished:
        return status == "succeeded" and result_token == record.lease_token
    return not record.claimed or status in ("leased", "applying", "succeeded")
