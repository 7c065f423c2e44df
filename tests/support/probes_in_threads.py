"""Takes probes in the main loop out of this process's worker, to see and measure what threads would do with them."""

from apps.lifecycle.gunicorn.worker.probes_in_main_loop import ProbesInMainLoop
from apps.lifecycle.gunicorn.worker.worker import Worker


def answer_probes_in_threads() -> None:
    """From now on a probe is a request like any other."""
    Worker.__bases__ = tuple(base for base in Worker.__bases__ if base is not ProbesInMainLoop)
