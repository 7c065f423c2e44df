"""What a command does when its standard output takes nothing any more. Standard library only.

It must not know what was to be written.
"""

import contextlib
import os
import sys


def abandon() -> None:
    """Let what is still to be written go nowhere: Python would try again at its end, and exit with 120."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
