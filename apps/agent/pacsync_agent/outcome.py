"""How an operation ended, as it is kept in the journal and told to the server. It must not know how it came about."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .errors import AgentError

LOG_TAIL = 16_000  # characters, as many as the server keeps


@dataclass(frozen=True)
class Outcome:
    """`outcome` is succeeded or failed; `code`, `message` and `hint` say why it failed; `warnings` are pacman's."""

    outcome: str
    code: str = ""
    message: str = ""
    hint: str = ""
    exit: int = 0
    warnings: tuple[str, ...] = ()

    @classmethod
    def failed(cls, error: AgentError, warnings: tuple[str, ...] = ()) -> Outcome:
        return cls("failed", error.code, error.message, error.hint, int(error.exit), warnings)

    @classmethod
    def from_journal(cls, value: dict[str, Any]) -> Outcome:
        return cls(**{**value, "warnings": tuple(value.get("warnings", ()))})

    def for_journal(self) -> dict[str, Any]:
        return asdict(self)

    def for_server(self, log: str) -> dict[str, Any]:
        """The fields of the result request that come from here."""
        message = " ".join((self.message, *(f"Warning: {warning}." for warning in self.warnings))).strip()
        return {
            "outcome": self.outcome,
            "code": self.code,
            "message": message[:2000],
            "log_tail": log[-LOG_TAIL:],
            **({"hint": _one_line(self.hint)} if self.hint else {}),
        }


def _one_line(text: str) -> str:
    """As the server takes a hint: a line of 1,000 characters at most, each of which can be seen."""
    return "".join(char if char.isprintable() else " " for char in text)[:1000]
