"""How an operation ended, as it is kept in the journal and told to the server. It must not know how it came about."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from .errors import AgentError

LOG_TAIL = 16_000  # characters, as many as the server keeps


@dataclass(frozen=True)
class Outcome:
    """`outcome` is succeeded or failed; `code`, `message` and `hint` say why it failed; `warnings` are pacman's.

    `log` is what pacman said where no transaction began, its end.
    """

    outcome: str
    code: str = ""
    message: str = ""
    hint: str = ""
    exit: int = 0
    warnings: tuple[str, ...] = ()
    log: str = ""

    @classmethod
    def failed(cls, error: AgentError, warnings: tuple[str, ...] = ()) -> Outcome:
        return cls("failed", error.code, error.message, error.hint, int(error.exit), warnings, error.log[-LOG_TAIL:])

    @classmethod
    def from_journal(cls, value: dict[str, Any]) -> Outcome:
        return cls(**{**value, "warnings": tuple(value.get("warnings", ()))})

    def for_journal(self) -> dict[str, Any]:
        """An agent that is older knows no `log`."""
        return {key: value for key, value in asdict(self).items() if key != "log" or value}

    def for_server(self, log: str, hint: str = "") -> dict[str, Any]:
        """The fields of the result request that come from here. The first line of the message is the cause.

        `log`: what pacman said in the transaction; `hint`: what to do, for a reader who isn't at the machine.
        """
        warnings = " ".join(f"Warning: {warning}." for warning in self.warnings)
        message = "\n".join(text for text in (self.message, warnings) if text)
        return {
            "outcome": self.outcome,
            "code": self.code,
            "message": message[:2000],
            "log_tail": (log or self.log)[-LOG_TAIL:],
            **({"hint": _one_line(hint)} if hint else {}),
        }


def _one_line(text: str) -> str:
    """As the server takes a hint: a line of 1,000 characters at most, each of which can be seen."""
    return "".join(char if char.isprintable() else " " for char in text)[:1000]
