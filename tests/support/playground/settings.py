"""The project's settings with the playground's views, and what the master of a negative twin runs without."""

import os
from typing import Any

from apps.lifecycle.gunicorn import arbiter, worker_hooks
from pacsync.settings import *  # noqa: F403
from pacsync.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.support.playground.apps.PlaygroundConfig"]
# Its views take bodies of any size from anybody.
MIDDLEWARE = [name for name in MIDDLEWARE if "whitenoise" not in name and "SmallBody" not in name]
ROOT_URLCONF = "tests.support.playground.urls"


def _as_gunicorn_does(server: Any) -> None:
    wrap(server)
    del server.reload, server.manage_workers


wrap = arbiter.wrap
if os.environ.get("PLAYGROUND_WITHOUT_OVERLAP"):
    arbiter.wrap = _as_gunicorn_does
    worker_hooks._take_over_limit = lambda worker: 0
if os.environ.get("PLAYGROUND_WITHOUT_OVERLAP") or os.environ.get("PLAYGROUND_WITHOUT_ANNOUNCEMENT"):
    worker_hooks.master_announced_end = lambda worker: True
