"""Makes a Machine from the context of a run. It must not know what is done with it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Optional

from ..context import Context
from ..gather.candidates import Trust
from .machine import Machine


def machine_of(
    context: Context, fetch: Sequence[dict[str, Any]] = (), stop: Optional[threading.Event] = None
) -> Machine:
    """The machine, for work on it; `fetch` lists the server's hints about files, `stop` ends downloads."""
    return Machine(
        conf=context.conf,
        state_dir=context.state_dir,
        running=context.transaction,
        output=context.output,
        stop=stop or context.stop,
        fetch=fetch,
        trust=Trust(target_files=context.trust_target_files),
        mirror_patience=context.mirror_patience,
    )
