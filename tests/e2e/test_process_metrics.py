"""The metrics of the instance's processes, compared with what the system itself says of them."""

import os
import signal

import psutil
from prometheus_client import parser

from tests.e2e.conftest import Start
from tests.support.load import get
from tests.support.playground import Playground
from tests.support.wait import until


def measured(server: Playground) -> dict[str, float]:
    text = get(server.port, "/metrics")[2].decode()
    families = list(parser.text_string_to_metric_families(text))
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_process_metrics_are_of_all_processes_and_never_fall(playground: Start, sqlite_url: str) -> None:
    with playground(sqlite_url, WEB_CONCURRENCY=2) as server:
        until(lambda: len(server.workers()) == 2)
        master = psutil.Process(server.pid)
        family = [master, *master.children()]
        found = measured(server)
        resident = sum(process.memory_info().rss for process in family)
        assert 0.8 * resident < found["process_resident_memory_bytes"] < 1.25 * resident
        assert abs(found["process_start_time_seconds"] - master.create_time()) < 2
        used = [process.cpu_times() for process in family]
        assert abs(found["process_cpu_seconds_total"] - sum(one.user + one.system for one in used)) < 2
        assert found["process_open_fds"] in range(5, max(process.num_fds() for process in family) + 10)
        assert found["process_max_fds"] == master.rlimit(psutil.RLIMIT_NOFILE)[0]
        os.kill(family[1].pid, signal.SIGKILL)
        until(lambda: family[1].pid not in pids(server) and len(pids(server)) == 2, 60)
        assert measured(server)["process_cpu_seconds_total"] >= found["process_cpu_seconds_total"]


def pids(server: Playground) -> list[int]:
    return [worker["pid"] for worker in server.workers()]
