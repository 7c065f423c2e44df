"""A Python that has the libraries loaded, and forks for each program that it is asked for (preloaded.py asks).

A server starts in half the time that way, and a run starts hundreds of them. A program gets its own arguments,
environment, folder, session and descriptors. Nothing is loaded here that looks at these when it is: no module of the
project, none that reads settings, and not gunicorn, which notes the folder.
"""

import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIBRARIES = """
    asyncio concurrent.futures.thread corsheaders.checks corsheaders.middleware corsheaders.signals csp.apps
    csp.middleware csp.templatetags.csp decimal django.conf.urls.static
    django.contrib.admin.templatetags.admin_list django.contrib.auth.apps django.contrib.auth.context_processors
    django.contrib.auth.password_validation django.contrib.auth.tokens django.contrib.auth.validators
    django.contrib.contenttypes.apps django.contrib.messages.api django.contrib.messages.context_processors
    django.contrib.messages.middleware django.contrib.messages.storage.fallback django.contrib.sessions.backends.db
    django.contrib.sessions.middleware django.contrib.sites.shortcuts django.contrib.staticfiles.storage
    django.contrib.staticfiles.urls django.core.cache.backends.locmem django.core.cache.utils django.core.checks
    django.core.management.commands.check django.core.management.commands.makemigrations
    django.core.management.commands.migrate django.core.serializers.json django.core.servers.basehttp
    django.db.backends.postgresql.base django.db.backends.sqlite3.base django.db.migrations.autodetector
    django.db.migrations.executor django.forms.models django.middleware.clickjacking django.middleware.common
    django.middleware.security django.template.context_processors django.template.defaulttags
    django.template.loaders.app_directories django.template.loaders.cached django.templatetags.cache
    django.templatetags.l10n django.templatetags.static django.templatetags.tz django.test.client django.urls
    django.utils.translation.reloader django.views.csrf django.views.debug django.views.decorators.http
    django.views.generic environ health_check.base html json logging.config multiprocessing.connection netrc
    prometheus_client prometheus_client.core psycopg_pool pydantic pydantic.dataclasses
    pydantic.deprecated.class_validators pydantic.main pydantic.networks pythonjsonlogger.json sqlite3 ssl tarfile
    unittest.mock whitenoise.middleware whitenoise.storage zstandard
"""
OFFSET = 3  # of the first descriptor that isn't a standard one


def main() -> None:
    for name in LIBRARIES.split():
        with contextlib.suppress(Exception):  # a library that is gone, or wants settings, costs the program its time
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the asker's end ends this
    program = serve(socket.socket(fileno=int(sys.argv[1])))
    if program:
        run(program)


def serve(asked: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until the asker is gone; in a child: what it shall run."""
    selector = selectors.DefaultSelector()
    selector.register(asked, selectors.EVENT_READ)
    ends: dict[int, tuple[int, int]] = {}  # pidfd: (process id, where to write its status)
    while True:
        for key, _ in selector.select():
            if key.fileobj is asked:
                message, descriptors, _, _ = socket.recv_fds(asked, 1 << 20, 4)
                if not message:
                    return None
                *standard, end = descriptors
                pid = os.fork()
                if pid == 0:
                    for number, descriptor in enumerate(standard):
                        os.dup2(descriptor, number)
                    asked.detach()
                    selector.close()
                    os.closerange(OFFSET, 1024)
                    return dict(json.loads(message))
                pidfd = os.pidfd_open(pid)
                ends[pidfd] = pid, end
                selector.register(pidfd, selectors.EVENT_READ)
                for descriptor in standard:
                    os.close(descriptor)
                asked.send(str(pid).encode())
            else:
                pidfd = key.fd
                pid, end = ends.pop(pidfd)
                selector.unregister(pidfd)
                os.close(pidfd)
                _, status = os.waitpid(pid, 0)
                with contextlib.suppress(OSError):  # the asker no longer wants to know
                    os.write(end, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(end)


def run(program: dict[str, Any]) -> None:
    """Be what `python ARGUMENTS…` would be in that folder with that environment."""
    if program["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(program["environment"])
    os.chdir(program["folder"])
    time.tzset()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, program["blocked"])
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                line_buffering=os.isatty(stream.fileno()), write_through="PYTHONUNBUFFERED" in os.environ
            )
    kind, *arguments = program["arguments"]
    if kind == "-m":
        place, sys.argv = program["folder"], arguments
    elif kind == "-c":
        place, sys.argv = "", ["-c", *arguments[1:]]
    else:
        place, sys.argv = str(Path(kind).resolve().parent), [kind, *arguments]
    sys.path[0:1] = [place, *_python_path()]
    if kind == "-m":
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102 - as `python -c` does
    else:
        runpy.run_path(kind, run_name="__main__")


def _python_path() -> Iterator[str]:
    return (part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)


if __name__ == "__main__":
    main()
