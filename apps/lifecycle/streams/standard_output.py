"""What a command does when nothing more can be written to its standard output. Standard library only.

It must not know what should have been written.
"""

import contextlib
import os
import sys


def abandon() -> None:
    """Discard what is still to be written: Python would try again at its end, and exit with 120."""
    for stream in filter(None, (sys.stdout, sys.stderr)):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
