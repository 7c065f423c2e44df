"""Makes a Machine from the context of a run. It must not know what is done with it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from ..context import Context
from ..gather.candidates import Trust
from ..trust.trusted_keys import TrustedKeys
from .machine import Machine

Package = tuple[str, str, str]  # name, version, architecture


def machine_of(
    context: Context,
    fetch: Sequence[dict[str, Any]] = (),
    stop: Optional[threading.Event] = None,
    signed: Optional[Mapping[Package, str]] = None,
) -> Machine:
    """The machine, for work on it; `fetch` lists the server's hints about files, `stop` ends downloads.

    `signed` are the checksums of a revision that a trusted key signed. On a machine that trusts keys no other checksum
    of a target counts, whatever trust_target_files says. Raises Local where nobody knows whether it does.
    """
    trusts_keys = bool(TrustedKeys(context.state_dir).fingerprints())
    return Machine(
        conf=context.conf,
        state_dir=context.state_dir,
        running=context.transaction,
        output=context.output,
        stop=stop or context.stop,
        fetch=fetch,
        trust=Trust(target_files=context.trust_target_files and not trusts_keys, signed=signed or {}),
        mirror_patience=context.mirror_patience,
    )
