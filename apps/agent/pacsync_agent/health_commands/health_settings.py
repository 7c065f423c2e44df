"""What the machine's own configuration says about its health commands. It must not know where it is written."""

from __future__ import annotations

from dataclasses import dataclass

TIMEOUT, TOTAL_TIMEOUT = 60.0, 300.0


@dataclass(frozen=True)
class HealthSettings:
    """`timeout`: seconds that each command may take, `total_timeout`: all of them.

    `reverts`: a sync is reverted if one fails.
    """

    timeout: float = TIMEOUT
    total_timeout: float = TOTAL_TIMEOUT
    reverts: bool = False
