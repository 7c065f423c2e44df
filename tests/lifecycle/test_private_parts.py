"""The private parts of gunicorn, psycopg_pool and Django that we override, wrap or read are still as we rely on them.

A failure says which module of ours to look at. ADRs 8 and 11 name the same parts, with what to do.
"""

import inspect
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any, NamedTuple

import psycopg_pool
import pytest
from django.conf import settings
from django.contrib import auth
from django.contrib.auth import middleware as auth_middleware
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql import base as postgresql
from django.db.backends.sqlite3.base import DatabaseWrapper as SQLiteWrapper
from django.db.backends.sqlite3.base import SQLiteCursorWrapper
from django.db.backends.utils import CursorWrapper
from django.urls.resolvers import URLResolver
from django.utils.functional import LazyObject
from gunicorn import glogging
from gunicorn.arbiter import Arbiter
from gunicorn.http import message, parser, unreader
from gunicorn.http.body import Body
from gunicorn.workers import base, gthread
from gunicorn.workers.gthread import TConn, ThreadWorker
from psycopg_pool import ConnectionPool
from psycopg_pool import pool as pools

GUNICORN, WORKER = "apps/lifecycle/gunicorn/", "apps/lifecycle/gunicorn/worker/"
DBPOOL = "apps/lifecycle/dbpool/postgresql/dbpool.py"
SIZING = "apps/lifecycle/dbpool/postgresql/sizing.py"
BACKEND = "apps/lifecycle/dbpool/postgresql/base.py"
SQLITE = "pacsync/sqlite/base.py"
SESSION_USER = "apps/lifecycle/session_user.py"


class Method(NamedTuple):
    """A method with the names of its parameters, and what we do with it."""

    owner: Any
    name: str
    parameters: str
    ours: str
    what: str


class Source(NamedTuple):
    """Something whose source has this text, in which any white space is as good as any other."""

    owner: Any
    text: str
    ours: str
    what: str


METHODS = (
    # gunicorn's master
    Method(Arbiter, "stop", "self graceful", GUNICORN + "arbiter.py", "sets graceful_timeout before it"),
    Method(Arbiter, "reap_workers", "self", GUNICORN + "arbiter.py", "goes on where it raises HaltServer"),
    Method(Arbiter, "wait_for_signals", "self timeout", GUNICORN + "arbiter.py", "shortens its timeout"),
    Method(Arbiter, "manage_workers", "self", GUNICORN + "arbiter.py", "replaces it"),
    Method(Arbiter, "reload", "self", GUNICORN + "reload/reload.py", "runs it up to where it replaces the workers"),
    Method(Arbiter, "spawn_worker", "self", GUNICORN + "reload/replacement.py", "starts workers with it"),
    Method(Arbiter, "kill_worker", "self pid sig", GUNICORN + "reload/replacement.py", "ends workers with it"),
    # gunicorn's worker
    Method(base.Worker, "__init__", "self age ppid sockets app timeout cfg log", WORKER, "extends it"),
    Method(base.Worker, "init_signals", "self", WORKER + "graceful_exit.py", "sets its own handlers after it"),
    Method(base.Worker, "handle_quit", "self sig frame", WORKER + "graceful_exit.py", "calls it, past gthread's"),
    Method(ThreadWorker, "handle_exit", "self sig frame", WORKER + "graceful_exit.py", "ends the worker with it"),
    Method(base.Worker, "handle_error", "self req client addr exc", WORKER + "head_errors.py", "answers in its place"),
    Method(ThreadWorker, "set_accept_enabled", "self enabled", WORKER + "graceful_exit.py", "closes listeners in it"),
    Method(ThreadWorker, "accept", "self listener", WORKER + "slow_clients.py", "overrides it"),
    Method(ThreadWorker, "wait_for_and_dispatch_events", "self timeout", WORKER + "slow_clients.py", "overrides it"),
    Method(ThreadWorker, "murder_pending", "self", WORKER + "slow_clients.py", "ends slow clients after it"),
    Method(ThreadWorker, "enqueue_req", "self conn", WORKER + "whole_heads.py", "overrides it"),
    Method(ThreadWorker, "handle_request", "self req conn", WORKER + "whole_requests.py", "extends it"),
    Method(ThreadWorker, "_keepalive_after", "self conn keepalive", WORKER + "whole_requests.py", "overrides it"),
    Method(ThreadWorker, "finish_request", "self conn fs", WORKER + "whole_requests.py", "overrides it"),
    Method(ThreadWorker, "on_client_socket_readable", "self conn client", WORKER + "whole_requests.py", "registers it"),
    Method(ThreadWorker, "handle", "self conn", WORKER + "probes_in_main_loop.py", "calls it in the main loop"),
    Method(gthread.PollableMethodQueue, "defer", "self callback args", WORKER + "whole_requests.py", "calls it"),
    Method(TConn, "__init__", "self cfg sock client server", WORKER + "connection.py", "extends it"),
    Method(TConn, "init", "self", WORKER + "connection.py", "overrides it"),
    Method(TConn, "set_timeout", "self", WORKER + "whole_requests.py", "calls it"),
    Method(TConn, "close", "self graceful", WORKER + "connection.py", "overrides it"),
    Method(unreader.Unreader, "chunk", "self size_hint", WORKER + "connection.py", "overrides it"),
    Method(unreader.Unreader, "take_buffered", "self", WORKER + "connection.py", "empties the buffer with it"),
    Method(message.Request, "__init__", "self cfg unreader peer_addr req_number", WORKER, "parses a head with it"),
    Method(glogging.Logger, "access", "self resp req environ request_time", GUNICORN + "log.py", "overrides it"),
    Method(glogging.Logger, "exception", "self msg args kwargs", GUNICORN + "log.py", "extends it"),
    # psycopg_pool
    Method(ConnectionPool, "_getconn_with_check_loop", "self deadline", DBPOOL, "overrides it with a time limit"),
    Method(ConnectionPool, "_getconn_unchecked", "self timeout", DBPOOL, "calls it"),
    Method(ConnectionPool, "_putconn", "self conn from_getconn", DBPOOL, "calls it"),
    Method(ConnectionPool, "_connect", "self timeout", DBPOOL, "takes a permit before it"),
    Method(ConnectionPool, "_resolve_kwargs", "self", DBPOOL, "calls it"),
    Method(ConnectionPool, "_add_to_pool", "self conn", DBPOOL, "gives connections back after it"),
    Method(ConnectionPool, "_maybe_grow_pool", "self", SIZING, "calls it only when somebody waits"),
    Method(ConnectionPool, "_shrink_pool", "self", SIZING, "calls it once for each idle connection"),
    Method(ConnectionPool, "reconnect_failed", "self", DBPOOL, "fails whoever waits, after it"),
    Method(ConnectionPool, "check_connection", "conn", DBPOOL, "overrides it with a time limit"),
    Method(pools.WaitingClient, "fail", "self error", SIZING, "calls it"),
    # Django
    Method(BaseDatabaseWrapper, "_commit", "self", BACKEND, "watches it"),
    Method(BaseDatabaseWrapper, "set_autocommit", "self autocommit force_begin_transaction_with_broken_autocommit",
           BACKEND, "leaves it out where the connection is gone"),
    Method(postgresql.DatabaseWrapper, "get_new_connection", "self conn_params", BACKEND, "overrides it"),
    Method(postgresql.DatabaseWrapper, "_configure_connection", "self connection", BACKEND, "extends it"),
    Method(postgresql.DatabaseWrapper, "_configure_role", "self connection", BACKEND, "overrides it"),
    Method(postgresql.DatabaseWrapper, "_close", "self", BACKEND, "overrides it"),
    Method(postgresql.DatabaseWrapper, "close_pool", "self", BACKEND, "overrides it"),
    Method(postgresql.DatabaseWrapper, "make_cursor", "self cursor", BACKEND, "overrides it"),
    Method(SQLiteWrapper, "create_cursor", "self name", SQLITE, "overrides it"),
    Method(SQLiteCursorWrapper, "execute", "self query params", SQLITE, "waits for the lock before it"),
    Method(SQLiteCursorWrapper, "executemany", "self query param_list", SQLITE, "waits for the lock before it"),
    Method(URLResolver, "_populate", "self", "apps/lifecycle/preloading.py", "loads the URLs with it"),
)  # fmt: skip

SOURCES = (
    Source(Arbiter.reload, "self.app.reload() self.setup(self.app)", GUNICORN + "reload/reload.py",
           "needs the configuration to be loaded before the workers are replaced"),
    Source(Arbiter.reload, "self.spawn_worker() # manage workers - this will kill old workers beyond num_workers "
           "self.manage_workers()", GUNICORN + "reload/reload.py", "stops the reload at these two calls"),
    Source(Arbiter.reap_workers, "raise HaltServer(reason, self.WORKER_BOOT_ERROR)", GUNICORN + "arbiter.py",
           "catches it"),
    Source(Arbiter.reap_workers, "worker = self.WORKERS.pop(wpid, None)", GUNICORN + "arbiter.py",
           "finds by it the worker that couldn't start"),
    Source(Arbiter.stop, "limit = time.time() + self.cfg.graceful_timeout", GUNICORN + "arbiter.py",
           "sets the limit before this line"),
    Source(Arbiter.spawn_worker, "self.worker_age += 1", GUNICORN + "reload/replacement.py",
           "tells old workers by their age"),
    Source(Arbiter.spawn_worker, "self.cfg.pre_fork(self, worker) pid = os.fork()", GUNICORN + "master_hooks.py",
           "gives the worker its slot between its making and the fork"),
    Source(ThreadWorker.run, "self.murder_keepalived() self.murder_pending()", WORKER + "slow_clients.py",
           "looks for slow clients after each round"),
    Source(ThreadWorker.run, "while self.nr_conns > 0:", WORKER + "connections.py",
           "counts connections in `nr_conns`, for which a worker that ends waits"),
    Source(ThreadWorker.run, "self.set_accept_enabled(False)", WORKER + "graceful_exit.py",
           "closes the listeners there"),
    Source(ThreadWorker.handle, "if not conn.initialized and not conn.data_ready:", WORKER + "connection.py",
           "sets `data_ready`, so that no thread waits for a client"),
    Source(ThreadWorker.handle, "req = next(conn.parser)", WORKER + "connection.py",
           "gives the parser a reader of its own"),
    Source(ThreadWorker.enqueue_req, "fs = self.tpool.submit(self.handle, conn)", WORKER + "whole_requests.py",
           "hands a request over with it"),
    Source(ThreadWorker.handle_request, "self.nr >= self.max_requests", GUNICORN + "worker_hooks.py",
           "takes `max_requests` over, so that the worker doesn't end by itself"),
    Source(ThreadWorker.handle_quit, "self.tpool.shutdown(wait=False)", WORKER + "graceful_exit.py",
           "leaves this handler out, because of the lock it needs"),
    Source(ThreadWorker.__init__, "self.keepalived_conns = deque()", WORKER + "slow_clients.py", "reads it"),
    Source(TConn.init, "self.parser = http.get_parser(self.cfg, self.sock, self.client)", WORKER + "connection.py",
           "makes the same parser, with another reader"),
    Source(gthread, "STOP_KEEPALIVE_LINGER = ", WORKER + "whole_requests.py", "reads it"),
    Source(message.HeaderPolicy, "self._expected_100_continue = True", WORKER, "reads it"),
    Source(Body.__init__, "self.reader = reader", WORKER, "reads a body's length from its reader"),
    Source(Body, "self.failed = True", WORKER + "whole_requests.py", "reads it"),
    Source(parser.Parser, "self.mesg", WORKER + "whole_requests.py", "sets it to None instead of draining the body"),
    Source(parser.Parser, "self.req_count", WORKER + "whole_requests.py", "reads it"),
    Source(ConnectionPool._getconn_unchecked, "conn._pool = self", BACKEND, "knows by it where a connection belongs"),
    Source(ConnectionPool._add_connection, "self._nconns -= 1", SIZING, "keeps `_nconns` right in give_back"),
    Source(ConnectionPool._add_to_pool, "self._waiting.popleft().set(conn)", DBPOOL, "reads `_waiting`"),
    Source(ConnectionPool._shrink_pool, "self._nconns_min = len(self._pool)", SIZING, "sets `_nconns_min` likewise"),
    Source(ConnectionPool._shrink_pool, "self._nconns > self._min_size", SIZING, "lowers `_min_size` in give_back"),
    Source(psycopg_pool.base.BasePool, "conn._created_at", DBPOOL, "sets it on a connection that outlives a drain"),
    Source(CursorWrapper.__exit__, "try: self.close() except self.db.Database.Error: pass", BACKEND,
           "overrides `close`, and suppresses Django's errors likewise"),
    Source(auth.get_user, "request.session.cycle_key() request.session[HASH_SESSION_KEY] = session_auth_hash",
           SESSION_USER, "replaces `cycle_key`, which is called for a former SECRET_KEY only"),
    Source(auth_middleware.get_user, "request._cached_user = auth.get_user(request)", SESSION_USER,
           "keeps the user there, where apps/api/access/rate_limits.py looks"),
    Source(LazyObject, "_wrapped = None", GUNICORN + "reload/reload.py", "empties the settings, which are read again"),
    # the standard library
    Source(HTTPConnection.connect, "self.sock = self._create_connection(", "apps/vulnerabilities/bounded_http.py",
           "sets it, so that what follows the connection is limited; so does the agent's http/bounded_http.py"),
)  # fmt: skip


def advice(part: Method | Source) -> str:
    return f"{part.owner.__name__}: look at {part.ours}: it {part.what}"


def parameters(function: Callable[..., Any]) -> str:
    return " ".join(inspect.signature(function).parameters)


@pytest.mark.parametrize("part", METHODS, ids=lambda part: f"{part.owner.__name__}.{part.name}")
def test_private_method_has_the_parameters_that_we_rely_on(part: Method) -> None:
    method = getattr(part.owner, part.name, None)
    assert method is not None, f"{part.name} is gone from {advice(part)}"
    assert parameters(method) == part.parameters, f"{part.name} of {advice(part)}"


@pytest.mark.parametrize("part", SOURCES, ids=lambda part: f"{part.owner.__name__}-{part.text[:30]}")
def test_private_source_has_the_text_that_we_rely_on(part: Source) -> None:
    source = " ".join(inspect.getsource(part.owner).split())
    assert part.text in source, f"{part.text!r} is gone from {advice(part)}"


def test_settings_are_a_lazy_object_that_can_be_emptied() -> None:
    assert isinstance(settings, LazyObject), f"look at {GUNICORN}reload/reload.py: it empties `settings._wrapped`"


def test_gunicorns_worker_temporary_file_can_be_closed() -> None:
    assert callable(base.WorkerTmp.close), f"look at {GUNICORN}arbiter.py: it closes the file of a failed worker"
