"""gunicorn's settings, from the environment (docs/configuration.md). The hooks are in apps/lifecycle/hooks.py."""

# ruff: noqa: E402 - the import path has to be set first

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")

from apps.lifecycle import options

options.take_over(__file__)  # first: what gunicorn's own options say becomes a setting

try:
    from pacsync import settings
except ImproperlyConfigured as error:
    sys.exit(f"pacsync: {error}")

from apps.lifecycle import hooks
from apps.lifecycle.gunicorn_log import LifecycleLogger
from apps.lifecycle.hooks import (  # noqa: F401 - gunicorn takes the hooks by their names
    child_exit,
    on_exit,
    on_starting,
    post_fork,
    post_request,
    post_worker_init,
    pre_fork,
    pre_request,
    when_ready,
    worker_exit,
    worker_int,
)

wsgi_app = "pacsync.wsgi:application"
chdir = str(root)
bind = [settings.HTTP_ADDRESS]
worker_class = "apps.lifecycle.worker.Worker"  # gthread, with threads for whole requests only
workers = settings.WEB_CONCURRENCY
threads = settings.WEB_THREADS + settings.WEB_QUEUE_SIZE  # a request that waits needs a thread to wait in
preload_app = settings.PRELOAD_APP
max_requests = settings.WEB_MAX_REQUESTS
max_requests_jitter = settings.WEB_MAX_REQUESTS // 10
keepalive = settings.WEB_KEEPALIVE
# Whole seconds; the hooks set what is left of SHUTDOWN_TIMEOUT when a signal comes.
graceful_timeout = max(1, int(settings.SHUTDOWN_TIMEOUT))
forwarded_allow_ips = settings.FORWARDED_ALLOW_IPS
# A trusted proxy names the client, not the path: SCRIPT_NAME and PATH_INFO as headers would get round its rules.
forwarder_headers = ""
# gunicorn's control socket is one per HOME: a second instance would take the first one's.
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - heartbeats that touch no disk
logger_class = LifecycleLogger
logconfig_dict = settings.LOGGING
proc_name = "pacsync"

hooks.prepare()
