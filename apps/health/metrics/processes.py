"""What the instance's processes use: memory, processor time and file descriptors, under prometheus_client's own names.

prometheus_client reads /proc for one process; this adds up the master and its workers. It must not know who asks.
"""

import os
from collections.abc import Iterator

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from apps.lifecycle.shared_memory import memory

TICKS = os.sysconf("SC_CLK_TCK")
ADDED_UP = {
    "process_virtual_memory_bytes": "Virtual memory of the instance's processes.",
    "process_resident_memory_bytes": "Resident memory of the instance's processes; shared pages count for each.",
}


def families() -> Iterator[Metric]:
    """The metrics of the instance. A process that ends meanwhile is left out; without /proc there are none."""
    shared = memory.current()
    pids = {shared.header.master, *(slot.pid for slot in shared.live())}
    found = [values for values in map(_values, pids) if values]
    if not found:
        return
    for name, text in ADDED_UP.items():
        yield GaugeMetricFamily(name, text, value=sum(values[name] for values in found))
    # Workers that have ended count on in their master, so that this never falls.
    used = sum(values["process_cpu_seconds"] for values in found) + _seconds_of_children(shared.header.master)
    yield CounterMetricFamily("process_cpu_seconds", "Processor time of the instance, ended workers included.", used)
    started = min(values["process_start_time_seconds"] for values in found)
    yield GaugeMetricFamily("process_start_time_seconds", "When the first process started, since 1970.", started)
    # The limit is each process's own: what counts is the one that comes closest to it.
    fullest = max(
        (values for values in found if "process_open_fds" in values),
        key=lambda values: values["process_open_fds"] / values["process_max_fds"],
        default=None,
    )
    if fullest is None:
        return
    text = "of the process that comes closest to its limit."
    yield GaugeMetricFamily("process_open_fds", f"Open file descriptors {text}", fullest["process_open_fds"])
    yield GaugeMetricFamily("process_max_fds", f"Limit on file descriptors {text}", fullest["process_max_fds"])


def _values(pid: int) -> dict[str, float]:
    """The value of each metric of one process; empty if they can't be read.

    Those of file descriptors are missing if the process is another user's (gunicorn's `--user`).
    """
    collected = ProcessCollector(pid=lambda: pid, registry=None).collect()
    values = {metric.name: metric.samples[0].value for metric in collected}
    return values if len(values) >= 4 else {}


def _seconds_of_children(pid: int) -> float:
    """The processor time of the children that `pid` has waited for; fields 16 and 17 of proc_pid_stat(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            fields = stat.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[13]) + int(fields[14])) / TICKS
