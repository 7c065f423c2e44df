"""A reload (SIGHUP): tried in a child process first, then new workers. It must not know how workers are replaced.

gunicorn's own reload ends the whole service when the configuration or the code can't be loaded. Here the old workers
serve on, and one line says why. The master's main loop calls `go_on`, in which nothing waits.
"""

import contextlib
import hashlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.utils.functional import empty

from apps.lifecycle import memory
from apps.lifecycle.rollover import Rollover
from apps.lifecycle.trial_process import TrialProcess

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
REFUSED = "reload refused: %s. The workers that serve go on; fix it, and send SIGHUP again"
# What is read again; with the module of the settings.
SETTINGS = {"pacsync", "pacsync.settings", "pacsync.environment", "pacsync.logging"}


class _Applied(Exception):
    """gunicorn's reload has come to where it would replace the workers at once."""


class Reload:
    """The reloads of one master. `begin` is what SIGHUP calls."""

    def __init__(self, server: Any, rollover: Rollover) -> None:
        self.server, self.rollover = server, rollover
        self._trial: TrialProcess | None = None
        self._once_more = False
        self._loaded = hashes()

    @property
    def under_way(self) -> bool:
        return self._trial is not None

    def begin(self) -> None:
        if memory.current().floats[memory.SIGNAL_AT]:
            logger.warning("reload ignored: the instance is shutting down")
        elif self._trial is not None:
            self._once_more = True  # what is tried may be older than this signal
        else:
            self._try()

    def go_on(self) -> None:
        if memory.current().floats[memory.SIGNAL_AT]:
            self.give_up()
        elif self._trial is not None and self._trial.over():
            found, self._trial = self._trial.end(), None
            if self._once_more:
                self._try()
            else:
                self._judge(found)

    def give_up(self) -> None:
        """The instance ends: what is tried is of no interest any more."""
        if self._trial is not None:
            self._trial.end()
            self._trial = None
            logger.warning("reload given up: the instance is shutting down")

    def _try(self) -> None:
        self._once_more = False
        try:
            self._trial = TrialProcess(ROOT)
        except OSError as error:
            self._refuse(f"{error.filename or ROOT}: {error.strerror}")

    def _judge(self, found: dict[str, Any]) -> None:
        reason = str(found.get("problem", "")) or self._hindrance(found)
        if reason:
            self._refuse(reason)
        else:
            self._apply()

    def _refuse(self, reason: str) -> None:
        logger.error(REFUSED, " ".join(reason.split()).rstrip("."))

    def _hindrance(self, found: dict[str, Any]) -> str:
        """Why what can be loaded takes a restart; empty when it doesn't."""
        address = [list(one) if isinstance(one, tuple) else one for one in self.server.cfg.address]
        if found["address"] != address and not self.server.systemd:
            return f"the address changes from {address} to {found['address']}, which takes a restart"
        if found["workers"] > self.rollover.room():
            return f"{found['workers']} workers don't fit beside the old ones, which takes a restart"
        changed = sorted(name for name, digest in self._loaded.items() if digest_of(ROOT / name) != digest)
        if changed and not self._preloaded:
            return f"{changed[0]} has changed, which the master itself runs: that takes a restart"
        return ""

    # --- taking it over --------------------------------------------------------------------------------------------
    @property
    def _preloaded(self) -> bool:
        return self.server.app.callable is not None

    def _apply(self) -> None:
        """Run gunicorn's own reload up to the workers, which `rollover` replaces."""
        server, before = self.server, self.server.app.cfg
        spawn, manage = server.spawn_worker, server.manage_workers
        server.spawn_worker, server.manage_workers = lambda: None, _stop_here
        try:
            with self._fresh_settings():
                type(server).reload(server)
        except _Applied:
            pass
        except (Exception, SystemExit) as error:  # it was tried; so this is a change of just now
            server.app.cfg = before
            self._refuse(f"{type(error).__name__}: {error}")
            return
        finally:
            server.spawn_worker, server.manage_workers = spawn, manage
        board = memory.current()
        board.integers[memory.WORKERS], board.integers[memory.BUDGET] = server.cfg.workers, settings.DB_POOL_MAX_SIZE
        note = "; the code stays as it was loaded at the start (PRELOAD_APP)" if self._preloaded else ""
        logger.info("reload: the workers are replaced%s", note)
        self.rollover.replace_all()

    @contextlib.contextmanager
    def _fresh_settings(self) -> Iterator[None]:
        """Inside, the settings are read again (deploy/gunicorn.conf.py); the old ones stay when that fails.

        A master that has loaded the application keeps them: so do its workers.
        """
        if self._preloaded:
            yield
            return
        names = SETTINGS | {os.environ["DJANGO_SETTINGS_MODULE"]}
        kept = {name: sys.modules.pop(name) for name in names if name in sys.modules}
        lazy = cast(Any, settings)
        wrapped, lazy._wrapped = lazy._wrapped, empty
        try:
            yield
        except _Applied:
            raise
        except BaseException:
            sys.modules.update(kept)
            lazy._wrapped = wrapped
            raise


def _stop_here() -> None:
    raise _Applied


def hashes() -> dict[str, str]:
    """The project's files that this process has loaded and won't load again, with the hash of each."""
    again = {f"{name.replace('.', '/')}.py" for name in SETTINGS} | {"pacsync/__init__.py"}
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    names = {str(Path(file).relative_to(ROOT)) for file in files if file and Path(file).is_relative_to(ROOT)}
    return {name: digest_of(ROOT / name) for name in names - again if name.startswith(("apps/", "pacsync/"))}


def digest_of(path: Path) -> str:
    """The hash of the file, empty when it can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
