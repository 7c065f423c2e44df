"""The project's settings with the playground's views, and what the master of a negative twin runs without."""

import os
from typing import Any

from apps.lifecycle import arbiter, hooks
from pacsync.settings import *  # noqa: F403
from pacsync.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.support.playground.apps.PlaygroundConfig"]
# Its views take bodies of any size from anybody.
MIDDLEWARE = [name for name in MIDDLEWARE if "whitenoise" not in name and "SmallBody" not in name]
ROOT_URLCONF = "tests.support.playground.urls"


def _as_gunicorn_does(server: Any) -> None:
    watch(server)
    del server.reload, server.manage_workers


watch = arbiter.watch
if os.environ.get("PLAYGROUND_WITHOUT_OVERLAP"):
    arbiter.watch = _as_gunicorn_does
    hooks._take_over_limit = lambda worker: 0
if os.environ.get("PLAYGROUND_WITHOUT_OVERLAP") or os.environ.get("PLAYGROUND_WITHOUT_ANNOUNCEMENT"):
    hooks.is_meant = lambda worker: True
