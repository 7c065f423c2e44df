"""The commands, in the order of the help. It must not know what they do."""

from __future__ import annotations

from collections.abc import Sequence

from .command import Command
from .commands import (
    completion,
    diff,
    enroll,
    health,
    manual,
    once,
    revert,
    rotate_token,
    run,
    service,
    set_latest,
    sign,
    status,
    sync,
    trust,
    verify,
)

COMMANDS: Sequence[Command] = (
    enroll.COMMAND,
    service.COMMAND,
    once.COMMAND,
    run.COMMAND,
    status.COMMAND,
    diff.COMMAND,
    sync.COMMAND,
    verify.COMMAND,
    health.COMMAND,
    set_latest.COMMAND,
    revert.COMMAND,
    rotate_token.COMMAND,
    trust.COMMAND,
    sign.COMMAND,
    completion.COMMAND,
    manual.COMMAND,
)
