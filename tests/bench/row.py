"""One measure of the bench: what was wanted, what a plain peer does, what PacSync does."""

from dataclasses import dataclass, field

Figures = dict[str, float | int | str | bool]


@dataclass
class Row:
    """`peer` is None where no plain peer has such a thing. Times are in seconds unless a name says otherwise."""

    measure: str
    wanted: str
    pacsync: Figures = field(default_factory=dict)
    peer: Figures | None = None

    def text(self) -> str:
        lines = [self.measure, f"    wanted   {self.wanted}", f"    PacSync  {_figures(self.pacsync)}"]
        if self.peer is not None:
            lines.append(f"    plain    {_figures(self.peer)}")
        return "\n".join(lines)


def _figures(figures: Figures) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
