"""A row of the bench that is measured at several sizes of the fleet, each time beside the least that answers the same.

It must not know what is measured.
"""

from dataclasses import dataclass, field

from tests.bench.row import Row


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is measured. `sizes` are numbers of endpoints, ascending; a test takes small ones.

    `packages` are installed on each endpoint, `offered` are in each repository, `compared` endpoints are analysed.
    """

    sizes: tuple[int, ...] = (100, 1_000, 10_000)
    rounds: int = 15
    packages: int = 1_500
    offered: int = 15_000
    compared: int = 100


WHOLE = Extent()


@dataclass(frozen=True)
class Pair:
    """One question at one size: the medians of the rounds, in milliseconds."""

    what: str
    size: int
    pacsync_ms: float
    least_ms: float
    times: float


@dataclass
class SizedRow(Row):
    """`growth` has, for each question, how many times as long the largest size takes as the smallest."""

    pairs: list[Pair] = field(default_factory=list)
    growth: dict[str, float] = field(default_factory=dict)

    def add(self, what: str, size: int, measured: tuple[float, float]) -> None:
        """Take the seconds of PacSync and of the least; sizes come in ascending order."""
        ours, least = (round(seconds * 1000, 2) for seconds in measured)
        self.pairs.append(Pair(what, size, ours, least, round(measured[0] / measured[1], 1)))
        first = next(pair for pair in self.pairs if pair.what == what)
        if first.size != size:
            self.growth[what] = round(ours / first.pacsync_ms, 1)

    def text(self) -> str:
        """A table: for each size PacSync's milliseconds, those of the least, and how many times as long that is."""
        sizes = sorted({pair.size for pair in self.pairs})
        found = {(pair.what, pair.size): pair for pair in self.pairs}
        head = "".join(f"{f'{size:,} endpoints':>26}" for size in sizes)
        lines = [super().text() if self.pacsync else f"{self.measure}\n    wanted   {self.wanted}"]
        lines += [f"    {'ms: PacSync, least, times':32}{head}{'growth':>9}"]
        for what in dict.fromkeys(pair.what for pair in self.pairs):
            cells = "".join(_cell(found.get((what, size))) for size in sizes)
            lines.append(f"    {what:32}{cells}{self.growth.get(what, ''):>9}")
        return "\n".join(lines)


def _cell(pair: Pair | None) -> str:
    return f"{pair.pacsync_ms:>11g}{pair.least_ms:>9g}{pair.times:>6g}" if pair else " " * 26
