"""Counters and histograms that are right over several workers and their restarts: kept in the instance's shared memory.

It must not know what is measured (`apps.health.measurements`), nor how it is written out (`apps.health.exposition`).
"""

import os
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from apps.health.ledger import Ledger, totals
from apps.lifecycle import board

_SEPARATOR = b"\x1f"
_own: Ledger | None = None


def own() -> Ledger:
    """The ledger that this process writes to."""
    global _own
    if _own is None:
        _own = Ledger(board.scratch())
    return _own


def forget() -> None:
    """Look the ledger up again at the next use: a child of a fork has another one."""
    global _own
    _own = None
    for meter in METERS.values():
        meter._positions.clear()
    for positions in KEPT:
        positions.clear()


os.register_at_fork(after_in_child=forget)


class Meter:
    """One metric with labels; a series is made at its first use. `width` is how many doubles a series has."""

    width = 1

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> None:
        self.name, self.documentation, self.labels = name, documentation, labels
        self._positions: dict[tuple[str, ...], int] = {}
        METERS[name] = self

    def position(self, ledger: Ledger, values: tuple[str, ...]) -> int:
        """The series of these label values in this process's ledger. Hold its lock."""
        key = _SEPARATOR.join(text.encode() for text in (self.name, *values))
        position = self._positions[values] = ledger.position(key, self.width)
        return position

    def family(self, series: Iterable[tuple[list[str], list[float]]]) -> Metric:
        """The metric for prometheus-client, of (label values, doubles)."""
        raise NotImplementedError


METERS: dict[str, Meter] = {}
KEPT: list[dict[Any, Any]] = []
"""Where others keep positions by keys of their own, for speed; emptied when they hold no more."""


class Counter(Meter):
    """A number that only grows. `name` is without `_total`."""

    def increase(self, *values: str, by: float = 1.0) -> None:
        ledger = own()
        with ledger.lock:
            position = self._positions.get(values)
            if position is None:
                position = self.position(ledger, values)
            if position >= 0:
                ledger.doubles[position] += by

    def family(self, series: Iterable[tuple[list[str], list[float]]]) -> Metric:
        family = CounterMetricFamily(self.name, self.documentation, labels=self.labels)
        for values, (value,) in series:
            family.add_metric(values, value)
        return family


class Histogram(Meter):
    """Durations in seconds, counted in `buckets` (upper bounds, ascending). Doubles: one a bucket, +Inf, the sum."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> None:
        super().__init__(name, documentation, labels)
        self.buckets = buckets
        self.width = len(buckets) + 2

    def observe(self, seconds: float, *values: str) -> None:
        ledger = own()
        with ledger.lock:
            position = self._positions.get(values)
            if position is None:
                position = self.position(ledger, values)
            if position >= 0:
                ledger.doubles[position + bisect_left(self.buckets, seconds)] += 1.0
                ledger.doubles[position + self.width - 1] += seconds

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
    """Every meter with the numbers of all workers, the gone ones included."""
    series: dict[str, list[tuple[list[str], list[float]]]] = {name: [] for name in METERS}
    for key, values in sorted(totals(board.scratches()).items()):
        name, *labels = key.decode(errors="replace").split("\x1f")
        if name in series:
            series[name].append((labels, values))
    return [meter.family(series[name]) for name, meter in METERS.items()]
