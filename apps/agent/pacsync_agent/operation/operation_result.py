"""The agent's result of an operation, for the journal and for the server. It must not know how it came about."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..errors import AgentError

LOG_TAIL = 16_000  # characters, as many as the server keeps


@dataclass(frozen=True)
class OperationResult:
    """`outcome` is succeeded or failed; `code`, `message` and `hint` say why it failed; `warnings` are pacman's.

    `log` is the end of pacman's output, where no transaction began; `checks` the output of the health commands.
    """

    outcome: str
    code: str = ""
    message: str = ""
    hint: str = ""
    exit: int = 0
    warnings: tuple[str, ...] = ()
    log: str = ""
    checks: str = ""

    @classmethod
    def failed(cls, error: AgentError, warnings: tuple[str, ...] = ()) -> OperationResult:
        return cls("failed", error.code, error.message, error.hint, int(error.exit), warnings, error.log[-LOG_TAIL:])

    @classmethod
    def from_journal(cls, value: dict[str, Any]) -> OperationResult:
        return cls(**{**value, "warnings": tuple(value.get("warnings", ()))})

    def for_journal(self) -> dict[str, Any]:
        """Without an empty `log` and `checks`, which an older agent wouldn't understand."""
        return {key: value for key, value in asdict(self).items() if key not in {"log", "checks"} or value}

    def for_server(self, log: str, hint: str = "") -> dict[str, Any]:
        """The result request's fields. The first line of the message is the cause.

        `log`: pacman's output in the transaction; `hint`: what to do, for a reader who isn't at the machine.
        """
        warnings = " ".join(f"Warning: {warning}." for warning in self.warnings)
        message = "\n".join(text for text in (self.message, warnings) if text)
        return {
            "outcome": self.outcome,
            "code": self.code,
            "message": message[:2000],
            "log_tail": f"{log or self.log}{self.checks}"[-LOG_TAIL:],
            **({"hint": _one_line(hint)} if hint else {}),
        }


def _one_line(text: str) -> str:
    """The hint as the server accepts it: one line, 1,000 printable characters at most."""
    return "".join(char if char.isprintable() else " " for char in text)[:1000]
