"""Throughput of PacSync's probes, compared with a bare WSGI function, a Django view and django-health-check's view.

All under gunicorn with one gthread worker of eight threads, on one PostgreSQL, in turns, so that a slow moment of the
machine hits everybody. The bare function has PacSync's own deploy/gunicorn.conf.py; Django projects with settings of
their own can't, and run under plain gunicorn, as the bare function does once more. The row "the same, in a thread" says
whether probes in the main loop are worth their lines (docs/adr/0011). A minute and a half. On a busy machine only the
column `cpu us` means something.
"""

import contextlib
import urllib.error
import urllib.request

from tests.bench import load
from tests.bench.servers import Bare, InAThread, running_peer
from tests.support.postgres import running_postgres
from tests.support.server import migrate, running_server
from tests.support.wait import until

ROUNDS, SECONDS = 4, 2.0  # wrk takes whole seconds
THREADS = 8


def wait_for_answer(url: str) -> None:
    """Wait until `url` answers 200."""
    until(lambda: urllib.request.urlopen(url, timeout=5).close() is None, ignoring=(OSError,))  # noqa: S310 - loopback


def measure(targets: dict[str, tuple[str, int]]) -> dict[str, list[load.Figures]]:
    """The figures of each round for each target, in turns."""
    for url, pid in targets.values():
        load.run(url, 1, pid)
    found: dict[str, list[load.Figures]] = {name: [] for name in targets}
    for _ in range(ROUNDS):
        for name, (url, pid) in targets.items():
            found[name].append(load.run(url, SECONDS, pid))
    return found


def summary(found: dict[str, list[load.Figures]]) -> dict[str, dict[str, float]]:
    """The best round of each: the others have measured what else the machine did."""
    rates = {name: max(figures.rate for figures in rounds) for name, rounds in found.items()}
    return {
        name: {
            "requests_per_second": round(rates[name]),
            "of_bare": round(rates[name] / rates["bare WSGI function"], 2),
            "of_django_health_check": round(rates[name] / rates["django-health-check"], 1),
            "cpu_us_per_request": round(min(figures.cpu for figures in rounds)),
            "p99_ms": round(min(figures.p99 for figures in rounds), 2),
            "errors": sum(figures.errors for figures in rounds),
        }
        for name, rounds in found.items()
    }


def table(results: dict[str, dict[str, float]]) -> str:
    columns = ("requests_per_second", "of_bare", "of_django_health_check", "cpu_us_per_request", "p99_ms", "errors")
    titles = ("req/s", "of bare", "of d-h-c", "cpu us", "p99 ms", "errors")
    lines = [f"{'':26}" + "".join(f"{title:>10}" for title in titles)]
    lines += [f"{name:26}" + "".join(f"{row[column]:>10g}" for column in columns) for name, row in results.items()]
    return "\n".join(lines)


def run() -> dict[str, dict[str, float]]:
    """The figures of each target by its name."""
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(running_postgres())
        url = postgres.create_database("bench")
        migrate(url)
        settings = {"WEB_CONCURRENCY": 1, "WEB_THREADS": THREADS, "ENVIRONMENT": "production", "LOG_LEVEL": "ERROR"}
        server = stack.enter_context(running_server(url, **settings))
        wait_for_answer(f"{server.url}/health/ready")
        bare, in_a_thread = Bare(url, **settings), InAThread(url, **settings)
        for each in (bare, in_a_thread):
            stack.callback(each.kill)
            each.start()
        wait_for_answer(f"{in_a_thread.url}/health/ready")
        peers = {name: stack.enter_context(running_peer(url, name)) for name in ("bare", "view", "health_check")}
        targets = {
            "bare WSGI function": (bare.url, bare.pid),
            "the same, plain gunicorn": (peers["bare"].url, peers["bare"].pid),
            "Django view": (f"{peers['view'].url}/", peers["view"].pid),
            "django-health-check": (f"{peers['health_check'].url}/", peers["health_check"].pid),
            "PacSync /health/live": (f"{server.url}/health/live", server.pid),
            "the same, in a thread": (f"{in_a_thread.url}/health/live", in_a_thread.pid),
            "PacSync /health/ready": (f"{server.url}/health/ready", server.pid),
            "PacSync /health": (f"{server.url}/health", server.pid),
        }
        return summary(measure(targets))
