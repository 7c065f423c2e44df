"""`python -m tests.simulate`: a fleet of agents in one process against a real server, and what it costs.

The server is gunicorn with PacSync's own configuration on a PostgreSQL of its own; load, server and database share this
machine. Several instances are behind HAProxy with the shipped configuration. Each line of the table is one interval:
check-ins a second, their median and 99th percentile, the slowest probe, the 99th percentile of what operators read, SQL
transactions and milliseconds of a processor (instances' and database's) for each request, memory, and what agents were
answered. The run stops by itself.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg

from tests.simulate import cores, fleet
from tests.simulate.agents import Agent, Figures, Simulation
from tests.simulate.probes import Probes, probing
from tests.simulate.scenarios import SCENARIOS, World
from tests.support import isolation, preloaded
from tests.support.front_door import PATH, front_door
from tests.support.load import get
from tests.support.migrated import running_postgres
from tests.support.server import Server, manage, running_server
from tests.support.wait import until

POLL = 60.0
READ = ("/api/v1/fleet", "/api/v1/endpoints", "/api/v1/endpoints?status=behind", "/api/v1/operations")
MIB = 1 << 20
# All agents have one address here.
UNLIMITED = dict.fromkeys(("SOURCE_CONNECTIONS", "SOURCE_REQUESTS_AT_ONCE", "SOURCE_REQUESTS_IN_10_SECONDS"), 1_000_000)


def main() -> None:
    options = arguments().parse_args()
    if problem := missing(options):
        arguments().error(problem)
    isolation.isolate()
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    preloaded.afresh = True
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(running_postgres(shared_buffers="512MB", max_connections=100))
        url = postgres.url()
        sizes = {"endpoints": options.endpoints, "states": options.states}
        fleet.make(url, folder / "fleet", **sizes, inside=options.in_target, automatic=options.auto_sync)
        made = json.loads((folder / "fleet").read_text())
        operator = manage(url, "create_api_token", "simulation", "--role", "operator").stdout.split()[-1]
        settings = {"WEB_CONCURRENCY": options.workers, "POLL_SECONDS": int(POLL), "LOG_LEVEL": "ERROR"}
        servers = []
        for _ in range(options.instances):
            servers.append(stack.enter_context(running_server(url, ENVIRONMENT="production", **settings)))
            stack.enter_context(cores.limited(servers[-1].pid, options.cores))
        until(lambda: all(get(one.port, "/health/ready")[0] == 200 for one in servers))
        port = servers[0].port
        if options.instances > 1:
            port = stack.enter_context(front_door([one.port for one in servers], **UNLIMITED)).port
        simulation = Simulation(
            port, made["repositories"], made["states"], POLL, options.speed, random.Random(options.seed)
        )
        agents = [Agent(simulation, about) for about in made["agents"]]
        world = World(simulation, agents, servers, postgres, operator, options.seconds * 2 / 3)
        probes = stack.enter_context(probing([one.port for one in servers]))
        rows: list[dict[str, Any]] = []
        try:
            asyncio.run(run(world, options, url, probes, rows))
        finally:  # when it was ended from outside, too
            report(options, rows)


Number = TypeVar("Number", int, float)


def positive(kind: type[Number]) -> Callable[[str], Number]:
    """For argparse: a number of this kind that is above 0."""

    def read(text: str) -> Number:
        number = kind(text)
        if number <= 0:
            raise argparse.ArgumentTypeError(f"must be above 0: {text}")
        return number

    read.__name__ = kind.__name__  # as argparse names it if it isn't a number at all
    return read


def arguments() -> argparse.ArgumentParser:
    """The options, with their defaults in the help."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulate",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        epilog=" ".join(f"{name}: {scenario.__doc__}" for name, scenario in SCENARIOS.items()),
    )
    parser.add_argument("--endpoints", type=positive(int), default=1000, help="machines")
    parser.add_argument(
        "--states", type=positive(int), default=600, help="different sets of packages outside of the target"
    )
    parser.add_argument("--in-target", action="store_true", help="all machines begin in the target")
    parser.add_argument("--auto-sync", action="store_true", help="the pool syncs by itself: operations are carried out")
    parser.add_argument("--seconds", type=positive(float), default=60, help="of the real clock")
    parser.add_argument("--interval", type=positive(float), default=5, help="seconds of one line of the table")
    parser.add_argument("--speed", type=positive(float), default=1, help="how much faster the agents' clock runs")
    parser.add_argument("--workers", type=positive(int), default=2, help="of each instance")
    parser.add_argument("--instances", type=positive(int), default=1, help="behind HAProxy, if there is more than one")
    parser.add_argument("--cores", type=float, default=0, help="of the processor for each instance (needs root)")
    parser.add_argument("--operators", type=int, default=0, help="people who read a list each second")
    parser.add_argument("--seed", type=int, default=1, help="of all that is random")
    parser.add_argument(
        "--scenario", choices=SCENARIOS, default="steady", help="what happens after a third of the time"
    )
    parser.add_argument("--json", type=Path, help="write the figures there too")
    return parser


def end(number: int, frame: object) -> None:
    """SIGTERM or Ctrl-C: leave all blocks, so that what was started ends, too, without a word about each agent."""
    logging.getLogger("asyncio").disabled = True
    sys.exit(128 + number)


def report(options: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> None:
    """Print what the intervals come to, and write them where `--json` says."""
    if rows:
        answers: Counter[str] = sum((Counter(row["answers"]) for row in rows), Counter())
        listed = ", ".join(f"{answer} {count:,}" for answer, count in answers.most_common())
        worst = {name: max(row[name] for row in rows) for name in ("p99_ms", "slowest_probe_ms", "server_mib")}
        print(
            "in all: p99 at most {p99_ms} ms, slowest probe {slowest_probe_ms} ms, at most {server_mib} MiB; ".format(
                **worst
            )
            + f"answers: {listed or 'none'}"
        )
    if options.json:
        said = {name: str(value) if isinstance(value, Path) else value for name, value in vars(options).items()}
        options.json.write_text(json.dumps({"options": said, "intervals": list(rows)}, indent=2))


def missing(options: argparse.Namespace) -> str:
    """What this machine lacks for these options; empty if nothing."""
    if options.instances > 1 and not shutil.which("haproxy", path=PATH):
        return "--instances needs HAProxy: apt-get install haproxy"
    if options.cores and os.geteuid() != 0:
        return "--cores needs root"
    return ""


async def run(world: World, options: argparse.Namespace, url: str, probes: Probes, rows: list[dict[str, Any]]) -> None:
    """Run the agents and the scenario; print one line for each interval, and append its figures to `rows`."""
    simulation, chance = world.simulation, world.simulation.chance
    print("    s checkin/s  p50 ms   p99 ms probe ms  read ms tx/req cpu/req  db/req   ops server MiB  answers")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(agent.live(chance.uniform(0, POLL))) for agent in world.agents]
        for number in range(options.operators):
            watched = simulation.watch("read", world.operator, READ[number % len(READ)], 1)
            tasks.append(group.create_task(watched))
        began, happened = asyncio.get_running_loop().time(), None
        before, used = transactions(url), cpu_of_both(world)
        while (now := asyncio.get_running_loop().time() - began) < options.seconds:
            if happened is None and now >= options.seconds / 3:
                print(f"      -- {options.scenario}: {SCENARIOS[options.scenario].__doc__}", flush=True)
                happened = group.create_task(SCENARIOS[options.scenario](world))  # type: ignore[arg-type]
            await asyncio.sleep(options.interval)
            after = await asyncio.to_thread(transactions, url)
            made = after - before if min(after, before) >= 0 else 0
            now_used = cpu_of_both(world)
            spent = (now_used[0] - used[0], now_used[1] - used[1])
            taken = simulation.figures.take()
            rows.append(line(now, taken, probes.take(), options.interval, made, spent, world.servers))
            before, used = after, now_used
        for task in (*tasks, *([happened] if happened else [])):
            task.cancel()


def cpu_of_both(world: World) -> tuple[float, float]:
    """Seconds of a processor that the instances and their database have used so far."""
    assert world.database is not None and world.database.process is not None, "only with PostgreSQL"
    return sum(cpu_seconds(one.pid) for one in world.servers), cpu_seconds(world.database.process.pid)


def line(
    at: float,
    taken: Figures,
    probes: list[float],
    seconds: float,
    transactions: int,
    spent: tuple[float, float],
    servers: Sequence[Server],
) -> dict[str, Any]:
    """What happened in an interval of `seconds`; instances and database used `spent` seconds of a processor."""
    checkins, reads = sorted(taken.seconds["/checkin"]), sorted(taken.seconds["read"])
    requests = sum(map(len, taken.seconds.values()))
    row: dict[str, Any] = {
        "at": round(at, 1),
        "checkins_per_second": round(len(checkins) / seconds, 1),
        "p50_ms": percentile(checkins, 50),
        "p99_ms": percentile(checkins, 99),
        "slowest_probe_ms": percentile(probes, 100),
        "reads_p99_ms": percentile(reads, 99),
        "transactions_per_request": round(transactions / requests, 2) if requests else 0.0,
        "server_cpu_ms_per_request": round(spent[0] / requests * 1000, 1) if requests else 0.0,
        "database_cpu_ms_per_request": round(spent[1] / requests * 1000, 1) if requests else 0.0,
        "operations": taken.operations,
        "server_mib": sum(map(memory, servers)),
        "answers": dict(taken.answers),
    }
    print("{:5.0f} {:9} {:7} {:8} {:8} {:8} {:6} {:7} {:7} {:5} {:10}  {}".format(*row.values()), flush=True)
    return row


def percentile(times: list[float], part: int) -> float:
    """Milliseconds; `times` are sorted seconds."""
    return round(times[min(len(times) * part // 100, len(times) - 1)] * 1000, 1) if times else 0.0


def transactions(url: str) -> int:
    """Those of the database so far: outside of explicit ones each statement is one. -1 while it doesn't answer."""
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            query = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
            row = connection.execute(query).fetchone()
            return int(row[0]) if row else -1
    except psycopg.OperationalError:
        return -1


def memory(server: Server) -> int:
    """MiB of the processes of the server that nobody else has."""
    found = 0
    for process in processes(server.pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += process.memory_full_info().uss
    return found // MIB


def cpu_seconds(pid: int) -> float:
    """What the process and its children have used so far, those that have ended included."""
    found = sum(psutil.Process(pid).cpu_times()[2:4])  # of children that have ended
    for process in processes(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            found += sum(process.cpu_times()[:2])
    return found


def processes(pid: int) -> list[psutil.Process]:
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


if __name__ == "__main__":
    main()
