"""The trial of a reload, in a process of its own: load the configuration and the application as a worker would.

    python -m apps.lifecycle.gunicorn.reload.trial [gunicorn's arguments]

The last line of its output is JSON: `{"address": […], "workers": N}`, or `{"problem": "…"}`, the cause first. It serves
nothing and listens nowhere. It must not know what is done with its answer.
"""

import json
import os
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[4]
LOADERS = (Path(__file__).resolve(), ROOT / "apps/lifecycle/preloading.py")  # never where the fault is
LONGEST = 300  # characters of an exception's text
PERMIT_SECONDS = 5.0  # how long it waits for a database connection


class ReloadRefused(Exception):
    """Everything can be loaded, but it can't serve; the text is a sentence."""


def main(arguments: list[str]) -> int:
    os.nice(5)  # the workers that serve come first
    sys.argv = ["gunicorn", *arguments]
    try:
        found = try_out()
    except BaseException as error:
        print(json.dumps({"problem": cause(error)}), flush=True)
        return 1
    print(json.dumps(found), flush=True)
    return 0


def try_out() -> dict[str, Any]:
    """Load everything. Returns where the server would listen, and with how many workers. Raises whatever is wrong."""
    from gunicorn.app.wsgiapp import WSGIApplication

    from apps.lifecycle.gunicorn.reload import trial_mode

    trial_mode.mode.is_on = True
    server = WSGIApplication("%(prog)s [OPTIONS] [APP_MODULE]")
    _ = server.cfg.worker_class, server.cfg.logger_class(server.cfg)
    server.wsgi()  # which loads everything that a request needs (preloading.py)
    check_migrations()
    return {"address": server.cfg.address, "workers": server.cfg.workers}


def check_migrations() -> None:
    """Raise ReloadRefused if the database lacks a migration, but not if it can't be reached at the moment."""
    from django.db import DatabaseError, connection
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.loader import MigrationLoader

    from apps.lifecycle.dbpool import facade, permits
    from apps.lifecycle.shared_memory import discovery

    MigrationLoader(None)  # without a database: whether the migrations themselves can be loaded
    shared = next((one for pid, one in discovery.instances() if pid == os.getppid()), None)
    if shared and not permits.take_for_trial(shared, PERMIT_SECONDS):
        raise ReloadRefused("no database connection was free to look for missing migrations")
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return
    finally:
        facade.close_until_gone()  # a worker opens one in its place at once
        if shared:
            permits.release_for_trial(shared)
    if plan:
        raise ReloadRefused(
            f"the database lacks {len(plan)} migration(s), {plan[0][0]} first: python manage.py migrate"
        )


def cause(error: BaseException) -> str:
    """What is wrong, in one line, with the place in our own code if there is one."""
    if isinstance(error, SystemExit):
        if isinstance(error.code, str):
            return error.code.removeprefix("pacsync: ")
        before = error.__cause__ or error.__context__
        if before:
            return cause(before)  # gunicorn, or pacsync.wsgi, has printed it and exits
    if isinstance(error, ReloadRefused):
        return str(error)
    if type(error).__name__ == "ReleaseBroken":
        text = str(error)
        return text if ".py" in text else text + _place(error.__cause__ or error)
    said = traceback.format_exception_only(error)[-1].partition("[Traceback")[0]  # gunicorn puts one into its texts
    return f"{textwrap.shorten(said, LONGEST)}{_place(error)}"


def _place(error: BaseException) -> str:
    """Where in the project it was raised."""
    where = [(error.filename, error.lineno)] if isinstance(error, SyntaxError) and error.filename else []
    where += [(frame.filename, frame.lineno) for frame in reversed(traceback.extract_tb(error.__traceback__))]
    for name, line in where:
        path = Path(name)
        if path.is_relative_to(ROOT) and ".venv" not in path.parts and path not in LOADERS:
            return f" ({path.relative_to(ROOT)}, line {line})"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
