"""A reload (SIGHUP): a child process tries it, then workers are replaced. It must not know how they are replaced.

gunicorn's own reload ends the whole service if the configuration or the code can't be loaded. Here the old workers go
on serving, and one line says why. The master's main loop calls `go_on`, which never waits.
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

from apps.lifecycle.gunicorn.reload.replacement import WorkerReplacement
from apps.lifecycle.gunicorn.reload.trial_process import TrialProcess
from apps.lifecycle.shared_memory import memory

logger = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[4]
REFUSED = "reload refused: %s. The workers that serve continue; fix it, and send SIGHUP again"
# What is read again, in addition to the settings module.
SETTINGS = {"pacsync", "pacsync.settings", "pacsync.environment", "pacsync.logging", "pacsync.pages"}


class _Applied(Exception):
    """gunicorn's reload has reached the point where it would replace the workers at once."""


class Reload:
    """The reloads of one master. `begin` is what SIGHUP calls."""

    def __init__(self, server: Any, replacement: WorkerReplacement) -> None:
        self.server, self.replacement = server, replacement
        self._trial: TrialProcess | None = None
        self._once_more = False
        self._loaded = hashes()

    @property
    def under_way(self) -> bool:
        return self._trial is not None

    def begin(self) -> None:
        if memory.current().header.signal_at:
            logger.warning("reload ignored: the instance is shutting down")
        elif self._trial is not None:
            self._once_more = True  # what is being tried may be older than this signal
        else:
            self._try()

    def go_on(self) -> None:
        if memory.current().header.signal_at:
            self.give_up()
        elif self._trial is not None and self._trial.over():
            found, self._trial = self._trial.end(), None
            if self._once_more:
                self._try()
            else:
                self._apply_or_refuse(found)

    def give_up(self) -> None:
        """End the trial: the instance shuts down."""
        if self._trial is not None:
            self._trial.end()
            self._trial = None
            logger.warning("reload cancelled: the instance is shutting down")

    def _try(self) -> None:
        self._once_more = False
        try:
            self._trial = TrialProcess(ROOT)
        except OSError as error:
            self._refuse(f"{error.filename or ROOT}: {error.strerror}")

    def _apply_or_refuse(self, found: dict[str, Any]) -> None:
        reason = str(found.get("problem", "")) or self._reason_to_restart(found)
        if reason:
            self._refuse(reason)
        else:
            self._apply()

    def _refuse(self, reason: str) -> None:
        logger.error(REFUSED, " ".join(reason.split()).rstrip("."))

    def _reason_to_restart(self, found: dict[str, Any]) -> str:
        """Why this change needs a restart, although it can be loaded; empty if it needs none."""
        address = [list(one) if isinstance(one, tuple) else one for one in self.server.cfg.address]
        if found["address"] != address and not self.server.systemd:
            return f"the address changes from {address} to {found['address']}, which takes a restart"
        if found["workers"] > self.replacement.room():
            return f"{found['workers']} workers don't fit in addition to the old ones, which takes a restart"
        changed = sorted(name for name, digest in self._loaded.items() if digest_of(ROOT / name) != digest)
        if changed and not self._preloaded:
            return f"{changed[0]} has changed, and the master itself runs it, which takes a restart"
        return ""

    # --- taking it over --------------------------------------------------------------------------------------------
    @property
    def _preloaded(self) -> bool:
        return self.server.app.callable is not None

    def _apply(self) -> None:
        """Run gunicorn's own reload up to the workers, which `replacement` replaces."""
        server, before = self.server, self.server.app.cfg
        spawn, manage = server.spawn_worker, server.manage_workers
        server.spawn_worker, server.manage_workers = lambda: None, _stop_here
        try:
            with self._fresh_settings():
                type(server).reload(server)
        except _Applied:
            pass
        except (Exception, SystemExit) as error:  # the trial succeeded, so this has changed since
            server.app.cfg = before
            self._refuse(f"{type(error).__name__}: {error}")
            return
        finally:
            server.spawn_worker, server.manage_workers = spawn, manage
        shared = memory.current()
        shared.header.workers, shared.header.budget = server.cfg.workers, settings.DB_POOL_MAX_SIZE
        note = "; the code stays as it was loaded at the start (PRELOAD_APP)" if self._preloaded else ""
        logger.info("reload: the workers are replaced%s", note)
        self.replacement.replace_all()

    @contextlib.contextmanager
    def _fresh_settings(self) -> Iterator[None]:
        """Inside, the settings are read again (deploy/gunicorn.conf.py); if that fails, the old ones stay.

        A master that has loaded the application keeps the old ones, and so do its workers.
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
    """The hash of the file; empty if it can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
