"""The load: wrk where it is installed, else a client of our own. Both stop by themselves."""

import http.client
import re
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil

CONNECTIONS = 8
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


class Figures(NamedTuple):
    """Requests a second, the slowest but one percent in milliseconds, how many answers were no 200, and the
    processor's microseconds that the server spent on a request."""

    rate: float
    p99: float
    errors: int
    cpu: float = 0.0


def run(url: str, seconds: float, pid: int, script: Path | None = None) -> Figures:
    """Ask `url` over CONNECTIONS kept connections for that long; `pid` is the gunicorn master behind it.

    `script` is one in Lua that makes the requests; it needs wrk.
    """
    before = spent(pid)
    figures = with_wrk(url, seconds, script) if script or shutil.which("wrk") else with_threads(url, seconds)
    return figures._replace(cpu=(spent(pid) - before) / (figures.rate * seconds) * 1e6)


def spent(pid: int) -> float:
    """Seconds of processor time that the workers of this master have used: the machine's other load isn't in it."""
    return float(sum(sum(worker.cpu_times()[:2]) for worker in psutil.Process(pid).children()))


def with_wrk(url: str, seconds: float, script: Path | None = None) -> Figures:
    made = ["-s", str(script)] if script else []
    command = ["wrk", f"-c{CONNECTIONS}", "-t1", f"-d{seconds:g}s", "--latency", *made, url]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 30).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    assert rate and p99, text
    return Figures(float(rate[1]), float(p99[1]) * UNITS[p99[2]], int(errors[1]) if errors else 0)


def with_threads(url: str, seconds: float) -> Figures:
    """Slower than wrk: the client takes its share of the processor, so compare only within one run."""
    parts = urlsplit(url)
    end = time.monotonic() + seconds
    times: list[float] = []
    errors: list[int] = []

    def client() -> None:
        connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
        while time.monotonic() < end:
            started = time.perf_counter()
            connection.request("GET", parts.path or "/")
            answer = connection.getresponse()
            answer.read()
            times.append(time.perf_counter() - started)
            if answer.status != 200:
                errors.append(answer.status)
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figures(len(times) / seconds, sorted(times)[int(len(times) * 0.99)] * 1000, len(errors))
