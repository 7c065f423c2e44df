"""Django's PostgreSQL backend with our dbpool: when a process has one, how big it is, when it is closed.

It must not read the environment: OPTIONS["dbpool"] holds what settings.py decided. A process that serves requests
has a dbpool; a management command has one plain connection.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from django.db.backends.utils import CursorWrapper
from django.db.utils import DatabaseErrorWrapper, NotSupportedError
from django.db.utils import Error as AnyDatabaseError
from django.utils.functional import cached_property
from psycopg import IsolationLevel, sql

from apps.lifecycle.dbpool import budget, facade, thread_limits
from apps.lifecycle.dbpool.facade import READ_ONLY, OutcomeUnknown
from apps.lifecycle.dbpool.postgresql import closing, commits, requirements, sessions, startup_options
from apps.lifecycle.dbpool.postgresql.dbpool import PostgresqlDbpool
from apps.lifecycle.dbpool.postgresql.schema import SchemaEditor
from apps.lifecycle.shared_memory import memory

logger = logging.getLogger(__name__)
PREPARED_AFTER = 1  # executions of a statement in its session


class DatabaseErrors(DatabaseErrorWrapper):
    """Django's translation of psycopg's errors, which also tells the dbpool about a session that refuses writes.

    A commit that no standby has is an error here: with synchronous replication it must not be acknowledged.
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


class Cursor(CursorWrapper):
    """Closing a server-side cursor is a statement, whose errors Django doesn't translate."""

    def close(self) -> None:
        with self.db.wrap_database_errors:
            self.cursor.close()

    def __exit__(self, *exception: Any) -> None:
        with contextlib.suppress(AnyDatabaseError):  # Django suppresses psycopg's
            super().__exit__(*exception)


class DatabaseWrapper(base.DatabaseWrapper):
    """`dbpool` is the process's dbpool or None. It isn't open before the process serves, or after `close_for_good`."""

    SchemaEditorClass = SchemaEditor
    migration_lock_timeout = 0.0  # seconds that a schema change waits for a lock; 0: the session's own limit
    migration_pid: int | None = None  # the backend that is changing the schema

    prepares: ClassVar[bool] = True  # False once a prepared statement was outdated
    _dbpools: ClassVar[dict[str, PostgresqlDbpool]] = {}
    _lock: ClassVar[threading.RLock] = threading.RLock()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.commit_timeout = float(self.settings_dict["OPTIONS"].get("dbpool", {}).get("commit_timeout", 0))
        self.execute_wrappers.append(commits.watch_statement)

    @property
    def is_watched(self) -> bool:
        """Whether its commits have a time limit: they do in a process that serves."""
        return self.commit_timeout > 0 and getattr(self.connection, "_pool", None) is not None

    def _commit(self) -> None:
        if not self.is_watched:
            super()._commit()  # type: ignore[misc]
            return
        with commits.watched(self.connection, self.commit_timeout):
            super()._commit()  # type: ignore[misc]

    def set_autocommit(self, autocommit: bool, *args: Any, **kwargs: Any) -> None:
        """Django resets autocommit after each transaction. If the connection broke in its COMMIT, that would take
        another one from the dbpool for nothing, and perhaps wait for a frozen server."""
        if autocommit and self.connection is None and not self.in_atomic_block:
            self.autocommit = True  # as the next connection begins
            return
        super().set_autocommit(autocommit, *args, **kwargs)

    @cached_property
    def wrap_database_errors(self) -> DatabaseErrors:
        return DatabaseErrors(self)

    def make_cursor(self, cursor: Any) -> Cursor:
        return Cursor(cursor, self)

    def execute_prepared(self, statement: str, parameters: Sequence[Any]) -> CursorWrapper:
        """The cursor of a statement that each session plans once. It returns its columns by name, without `*`.

        A session can't renew a plan whose columns have another type since a migration. Then the statement is executed
        in the usual way, as are all from there on. PgBouncer gives each transaction another session, so it plans them.
        """
        if self.prepares:
            try:
                return self._execute(statement, parameters, base.ServerBindingCursor)
            except NotSupportedError:
                if self.in_atomic_block:
                    raise
                logger.warning("a prepared statement is outdated: this process prepares no more", exc_info=True)
                type(self).prepares = False
        return self._execute(statement, parameters, base.Cursor)

    def _execute(self, statement: str, parameters: Sequence[Any], kind: type[Any]) -> CursorWrapper:
        self.ensure_connection()
        usual, self.connection.cursor_factory = self.connection.cursor_factory, kind
        try:
            cursor = self.cursor()
        finally:
            self.connection.cursor_factory = usual
        try:
            cursor.execute(statement, parameters)
        except BaseException:
            cursor.close()
            raise
        return cursor

    @property
    def dbpool(self) -> PostgresqlDbpool | None:
        """The dbpool, if there already is one."""
        return self._dbpools.get(self.alias)

    @property
    def pool(self) -> PostgresqlDbpool | None:
        """The dbpool, made at its first use. `pool` is Django's own name for it."""
        if self.alias == NO_DB_ALIAS or not facade.is_allowed() or "dbpool" not in self.settings_dict["OPTIONS"]:
            return None
        with self._lock:
            if self.alias not in self._dbpools:
                self._dbpools[self.alias] = self._make_dbpool()
            return self._dbpools[self.alias]

    def _make_dbpool(self) -> PostgresqlDbpool:
        sizes = dict(self.settings_dict["OPTIONS"]["dbpool"])
        del sizes["startup"]
        sizes.pop("commit_timeout", None)
        workers, slot = memory.current().workers, memory.mine().index
        least, most = (budget.share(sizes.pop(name), workers, slot) for name in ("min_size", "max_size"))
        parameters = {**self.get_connection_params(), "autocommit": True}
        return PostgresqlDbpool(
            name=f"dbpool-{self.alias}",
            kwargs=parameters,
            configure=self._configure_connection,
            min_size=least,
            max_size=most,
            **sizes,
        )

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        ours = parameters.pop("dbpool", {})
        limits = ours.get("startup", "")
        # Django's own cursors prepare nothing: only `execute_prepared` does.
        parameters["prepare_threshold"] = PREPARED_AFTER if ours.get("direct") else None
        parameters["options"] = startup_options.startup(
            limits, parameters.get("options", ""), serves=facade.is_allowed()
        )
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        pool = self.pool
        if pool is None:
            try:
                return super().get_new_connection(conn_params)
            except psycopg.OperationalError as error:
                raise startup_options.explained(error) from error
        self.isolation_level = IsolationLevel.READ_COMMITTED
        pool.open_once()
        return pool.getconn(timeout=thread_limits.checkout_timeout())

    def _configure_connection(self, connection: Any) -> bool:
        """Django calls this for a plain connection, and the dbpool for each of its own."""
        if self.alias != NO_DB_ALIAS:
            startup = self.settings_dict["OPTIONS"].get("dbpool", {}).get("startup", "")
            requirements.prepare(connection, direct=bool(startup))
        return bool(super()._configure_connection(connection))  # type: ignore[misc]

    def _configure_role(self, connection: Any) -> bool:
        """Like Django's, which takes another connection from the dbpool just to quote the name."""
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


@dataclass
class _State:
    inherited: list[PostgresqlDbpool] = field(default_factory=list)


_state = _State()


def _forget_after_fork() -> None:
    """A child must not touch its parent's connections, not even to close them."""
    _state.inherited.extend(DatabaseWrapper._dbpools.values())  # kept, because collecting them would close them
    DatabaseWrapper._dbpools.clear()
    DatabaseWrapper._lock = threading.RLock()


os.register_at_fork(after_in_child=_forget_after_fork)
