"""Counters and histograms in the instance's shared memory, correct across several workers and their restarts.

It must not know what is measured (`apps.health.metrics.instruments`) or how it is written out
(`apps.health.detailed.exposition`).
"""

import functools
import os
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from apps.health.metrics.worker_memory import WorkerMemory, totals
from apps.lifecycle.shared_memory import snapshots
from apps.lifecycle.shared_memory.memory import mine

_SEPARATOR = b"\x1f"


@functools.cache
def own() -> WorkerMemory:
    """The memory that this process writes to."""
    return WorkerMemory(mine().scratch())


def forget() -> None:
    """Look for the memory again at the next use: after a fork, the child has another one."""
    own.cache_clear()
    for meter in METERS.values():
        meter._positions.clear()
    for positions in KEPT:
        positions.clear()


os.register_at_fork(after_in_child=forget)


class Meter:
    """One metric with labels; a series is created at its first use. `width` is how many doubles a series has."""

    width = 1

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> None:
        self.name, self.documentation, self.labels = name, documentation, labels
        self._positions: dict[tuple[str, ...], int] = {}
        METERS[name] = self

    def position(self, memory: WorkerMemory, values: tuple[str, ...], spare: int = 0) -> int:
        """Where the series of these label values is in this process's memory, as `WorkerMemory.position`."""
        key = _SEPARATOR.join(text.encode() for text in (self.name, *values))
        position = self._positions[values] = memory.position(key, self.width, spare)
        return position

    def family(self, series: Iterable[tuple[list[str], list[float]]]) -> Metric:
        """The metric for prometheus-client, made from (label values, doubles)."""
        raise NotImplementedError


METERS: dict[str, Meter] = {}
KEPT: list[dict[Any, Any]] = []
"""Other modules keep positions by their own keys here, for speed; emptied when the positions become invalid."""


class Counter(Meter):
    """A number that only grows. `name` is without `_total`."""

    def increase(self, *values: str, by: float = 1.0) -> None:
        memory = own()
        with memory.lock:
            position = self._positions.get(values)
            if position is None:
                position = self.position(memory, values)
            if position >= 0:
                memory.doubles[position] += by

    def family(self, series: Iterable[tuple[list[str], list[float]]]) -> Metric:
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labels)
        for values, (value,) in series:
            family.add_metric(values, value)
        return family


class Histogram(Meter):
    """Durations in seconds, counted in `buckets` (upper bounds, ascending). Doubles: one per bucket, +Inf, the sum."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> None:
        super().__init__(name, documentation, labels)
        self.buckets = buckets
        self.width = len(buckets) + 2

    def observe(self, seconds: float, *values: str) -> None:
        memory = own()
        with memory.lock:
            position = self._positions.get(values)
            if position is None:
                position = self.position(memory, values)
            if position >= 0:
                memory.doubles[position + bisect_left(self.buckets, seconds)] += 1.0
                memory.doubles[position + self.width - 1] += seconds

    def family(self, series: Iterable[tuple[list[str], list[float]]]) -> Metric:
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        for values, (*counts, total) in series:
            cumulative, buckets = 0.0, []
            for bound, count in zip((*self.buckets, float("inf")), counts, strict=True):
                cumulative += count
                buckets.append(("+Inf" if bound == float("inf") else repr(bound), cumulative))
            family.add_metric(values, buckets, total)
        return family


def families() -> list[Metric]:
    """Every meter with the numbers of all workers, including those that are gone."""
    series: dict[str, list[tuple[list[str], list[float]]]] = {name: [] for name in METERS}
    for key, values in sorted(totals(snapshots.scratches()).items()):
        name, *labels = key.decode(errors="replace").split("\x1f")
        if name in series:
            series[name].append((labels, values))
    return [meter.family(series[name]) for name, meter in METERS.items()]
