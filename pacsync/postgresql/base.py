"""Django's PostgreSQL backend with our dbpool: when a process has one, how big it is, when it is closed.

It must not read the environment: OPTIONS["dbpool"] holds all that settings.py decided. A process that serves requests
has a dbpool; a management command has one plain connection.
"""

import os
import threading
from typing import Any, ClassVar

from django.db import OperationalError
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg import IsolationLevel

from apps.lifecycle import budget, memory, serving
from apps.lifecycle.dbpool import READ_ONLY, checkout_timeout
from pacsync.postgresql import sessions
from pacsync.postgresql.dbpool import Dbpool


class DatabaseErrors(DatabaseErrorWrapper):
    """Django's translation of psycopg's errors; the dbpool learns of a session that refuses writes.

    A commit that no standby has is an error here: where replication is synchronous it must not be acknowledged.
    """

    wrapper: "DatabaseWrapper"

    def __exit__(self, exc_type: Any, exc_value: Any, traceback: Any) -> None:
        if getattr(exc_value, "sqlstate", None) == READ_ONLY:
            connection, dbpool = self.wrapper.connection, self.wrapper.dbpool
            if connection is not None and dbpool is not None:
                dbpool.refused_a_write(connection)
        super().__exit__(exc_type, exc_value, traceback)
        if sessions.unreplicated(self.wrapper.connection):
            raise OperationalError("the wait of a commit for its standby was cancelled: it may be lost at a failover")


class DatabaseWrapper(base.DatabaseWrapper):
    """`dbpool` is the process's dbpool or None; it isn't opened before the process serves, and not again after shut."""

    _dbpools: ClassVar[dict[str, Dbpool]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrors:
        return DatabaseErrors(self)

    @property
    def dbpool(self) -> Dbpool | None:
        """The dbpool if there is one already."""
        return self._dbpools.get(self.alias)

    @property
    def pool(self) -> Dbpool | None:
        """The dbpool, made at the first use; Django's own name for it."""
        if self.alias == NO_DB_ALIAS or not serving.active() or "dbpool" not in self.settings_dict["OPTIONS"]:
            return None
        with self._lock:
            if self.alias not in self._dbpools:
                self._dbpools[self.alias] = self._make_dbpool()
            return self._dbpools[self.alias]

    def _make_dbpool(self) -> Dbpool:
        options = dict(self.settings_dict["OPTIONS"]["dbpool"])
        startup = options.pop("startup")
        workers, slot = memory.current().workers, memory.mine().index
        least, most = (budget.share(options.pop(name), workers, slot) for name in ("min_size", "max_size"))
        parameters = {**self.get_connection_params(), "autocommit": True}
        if startup:
            parameters["options"] = " ".join(filter(None, (parameters.get("options"), startup)))
        return Dbpool(
            name=f"dbpool-{self.alias}",
            kwargs=parameters,
            configure=self._configure_connection,  # type: ignore[attr-defined]
            min_size=least,
            max_size=most,
            **options,
        )

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        parameters.pop("dbpool", None)
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        pool = self.pool
        if pool is None:
            return super().get_new_connection(conn_params)
        self.isolation_level = IsolationLevel.READ_COMMITTED
        pool.open_once()
        return pool.getconn(timeout=checkout_timeout())

    def _close(self) -> None:
        owner = getattr(self.connection, "_pool", None)
        if owner is None:
            if self.connection is not None:
                with self.wrap_database_errors:
                    self.connection.close()
            return
        with self.wrap_database_errors:
            owner.putconn(self.connection)
            self.connection = None

    def close_pool(self) -> None:
        """Close the dbpool; the next query makes a new one (tests, and a master before it forks)."""
        with self._lock:
            pool = self._dbpools.pop(self.alias, None)
        if pool:
            pool.close()

    def shut_dbpool(self) -> None:
        """Close the dbpool for good: a query after that fails."""
        with self._lock:
            pool = self._dbpools.get(self.alias)
        if pool:
            pool.abandon()


def _forget_after_fork() -> None:
    """A child must not touch its parent's connections, not even to close them."""
    _inherited.extend(DatabaseWrapper._dbpools.values())  # kept, because collecting them would close them
    DatabaseWrapper._dbpools.clear()
    DatabaseWrapper._lock = threading.RLock()


_inherited: list[Dbpool] = []
os.register_at_fork(after_in_child=_forget_after_fork)
