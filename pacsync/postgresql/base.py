"""Django's PostgreSQL backend with our dbpool: when a process has one, how big it is, when it is closed.

It must not read the environment: OPTIONS["dbpool"] holds all that settings.py decided. A process that serves requests
has a dbpool; a management command has one plain connection.
"""

import os
import threading
from typing import Any, ClassVar

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from psycopg import IsolationLevel, sql

from apps.lifecycle import budget, memory, serving
from apps.lifecycle.dbpool import READ_ONLY, OutcomeUnknown, checkout_timeout
from pacsync.postgresql import closing, commits, options, requirements, sessions
from pacsync.postgresql.dbpool import Dbpool
from pacsync.postgresql.schema import SchemaEditor


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
            raise OutcomeUnknown(f"{commits.UNKNOWN}: no synchronous standby has confirmed it", timed_out=True)


class DatabaseWrapper(base.DatabaseWrapper):
    """`dbpool` is the process's dbpool or None; it isn't opened before the process serves, and not again after shut."""

    SchemaEditorClass = SchemaEditor
    migration_lock_timeout = 0.0  # seconds that a change of the schema waits for a lock; 0: as the session is set
    migration_pid: int | None = None  # the backend that changes the schema now

    _dbpools: ClassVar[dict[str, Dbpool]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commit_timeout = float(self.settings_dict["OPTIONS"].get("dbpool", {}).get("commit_timeout", 0))
        self.execute_wrappers.append(commits.watch_statement)

    @property
    def is_watched(self) -> bool:
        """Whether its commits have a limit: those of a process that serves do."""
        return self.commit_timeout > 0 and getattr(self.connection, "_pool", None) is not None

    def _commit(self) -> None:
        if not self.is_watched:
            super()._commit()  # type: ignore[misc]
            return
        with commits.watched(self.connection, self.commit_timeout):
            super()._commit()  # type: ignore[misc]

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """Django sets it back after each transaction. For a connection that broke in its COMMIT it would take another
        one from the dbpool: for nothing, and perhaps waiting for a server that is frozen."""
        if autocommit and self.connection is None and not self.in_atomic_block:
            self.autocommit = True  # as the next connection begins
            return
        super().set_autocommit(autocommit, *args, **kwargs)

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
        sizes = dict(self.settings_dict["OPTIONS"]["dbpool"])
        del sizes["startup"]
        sizes.pop("commit_timeout", None)
        workers, slot = memory.current().workers, memory.mine().index
        least, most = (budget.share(sizes.pop(name), workers, slot) for name in ("min_size", "max_size"))
        parameters = {**self.get_connection_params(), "autocommit": True}
        return Dbpool(
            name=f"dbpool-{self.alias}",
            kwargs=parameters,
            configure=self._configure_connection,
            min_size=least,
            max_size=most,
            **sizes,
        )

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        limits = parameters.pop("dbpool", {}).get("startup", "")
        parameters["options"] = options.startup(limits, parameters.get("options", ""), serves=serving.active())
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        pool = self.pool
        if pool is None:
            try:
                return super().get_new_connection(conn_params)
            except psycopg.OperationalError as error:
                raise options.explained(error) from error
        self.isolation_level = IsolationLevel.READ_COMMITTED
        pool.open_once()
        return pool.getconn(timeout=checkout_timeout())

    def _configure_connection(self, connection: Any) -> bool:
        """Django calls this for a plain connection, and the dbpool for each of its own."""
        if self.alias != NO_DB_ALIAS:
            startup = self.settings_dict["OPTIONS"].get("dbpool", {}).get("startup", "")
            requirements.prepare(connection, direct=bool(startup))
        return bool(super()._configure_connection(connection))  # type: ignore[misc]

    def _configure_role(self, connection: Any) -> bool:
        """As Django's, which asks the dbpool for a further connection, only to quote the name."""
        if role := self.settings_dict["OPTIONS"].get("assume_role"):
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        return bool(role)

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

    def close_until_gone(self) -> None:
        """Close a plain connection, and wait until its backend has ended."""
        with closing.until_gone([self.connection] if self.connection is not None else []):
            self.close()

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
