"""gunicorn's settings, from the environment (docs/configuration.md). Its hooks are in apps/lifecycle/gunicorn."""

# ruff: noqa: E402 - the import path has to be set first

import logging
import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")

from apps.lifecycle.gunicorn import options
from pacsync import early_log

with early_log.refusals():
    options.take_over(__file__)  # first: it turns gunicorn's own options into settings

try:
    from pacsync import settings
except ImproperlyConfigured as error:
    early_log.refuse(str(error))

from apps.lifecycle.gunicorn import descriptors, master_hooks, worker_hooks
from apps.lifecycle.gunicorn.log import LifecycleLogger
from apps.lifecycle.gunicorn.reload import trial_mode
from apps.lifecycle.streams import unread_output

wsgi_app = "pacsync.wsgi:application"
chdir = str(root)
bind = [settings.HTTP_ADDRESS]
worker_class = "apps.lifecycle.gunicorn.worker.worker.Worker"  # gthread, with threads for whole requests only
workers = settings.WEB_CONCURRENCY
threads = settings.WEB_THREADS
try:
    worker_connections = descriptors.connections(settings.WEB_REQUEST_LIMIT + settings.WEB_QUEUE_SIZE)
except descriptors.TooFew as error:
    early_log.refuse(str(error))
preload_app = settings.PRELOAD_APP
max_requests = settings.WEB_MAX_REQUESTS
max_requests_jitter = settings.WEB_MAX_REQUESTS // 10
limit_request_line = settings.REQUEST_LINE_LIMIT
limit_request_field_size = settings.REQUEST_HEADER_LIMIT
keepalive = settings.WEB_KEEPALIVE
# Whole seconds. When a signal comes, the hooks replace it by what is left of SHUTDOWN_TIMEOUT.
graceful_timeout = max(1, int(settings.SHUTDOWN_TIMEOUT))
forwarded_allow_ips = settings.FORWARDED_ALLOW_IPS
# A trusted proxy names the client, not the path: headers SCRIPT_NAME and PATH_INFO would let a client bypass its rules.
forwarder_headers = ""
# gunicorn's control socket is one per HOME: a second instance would take the first one's.
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - heartbeats that touch no disk
logger_class = LifecycleLogger
logconfig_dict = settings.LOGGING
if not trial_mode.mode.is_on:  # a trial's output has a reader, which needs all of it
    unread_output.replace()
logging.captureWarnings(True)  # Python's own warnings become lines like all others
proc_name = "pacsync"

# gunicorn finds its hooks by these names.
on_starting = early_log.refusals()(master_hooks.on_starting)
when_ready = master_hooks.when_ready
pre_fork = master_hooks.pre_fork
child_exit = master_hooks.child_exit
on_exit = master_hooks.on_exit
post_fork = worker_hooks.post_fork
post_worker_init = worker_hooks.post_worker_init
pre_request = worker_hooks.pre_request
post_request = worker_hooks.post_request
worker_int = worker_hooks.worker_int
worker_exit = worker_hooks.worker_exit

master_hooks.prepare()
