"""One session with PostgreSQL, seen from its socket: does it answer in time, may it write, which server is it on.

It must not know about the dbpool or what follows from an answer. psycopg waits for an answer without a time limit. So
this module uses libpq without blocking, and poll(2) has the time limit.
"""

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

from psycopg import Connection, OperationalError, errors
from psycopg.errors import Diagnostic
from psycopg.pq import ExecStatus, TransactionStatus

Conn = Connection[Any]
# `on` on a standby, on a primary fenced with default_transaction_read_only, and for a role with that setting.
MAY_WRITE = b"SHOW transaction_read_only"
# Another value means another server process. Every role may read it, and a standby has its own.
SERVER = b"SELECT pg_postmaster_start_time()::text || ' ' || current_setting('port')"
# Linux, struct tcp_info: 8 bytes and 9 numbers come before tcpi_last_data_sent; tcpi_last_data_recv is two further on.
TCP_INFO_BYTES = 64
LAST_DATA_SENT, LAST_DATA_RECEIVED = 44, 52


class Silent(OperationalError):
    """No answer came in time. The connection is closed."""


def is_read_only(connection: Conn, seconds: float) -> bool:
    """Whether the session refuses writes. Raises Silent, or psycopg's error if the connection is dead."""
    return ask(connection, MAY_WRITE, seconds) == b"on"


def server_of(connection: Conn, seconds: float) -> bytes | None:
    """Which server process the session is on: equal for two sessions on the same one. Raises like `ask`."""
    return ask(connection, SERVER, seconds)


def ask(connection: Conn, statement: bytes, seconds: float) -> bytes | None:
    """The first value that the statement returns. The connection must be idle and outside a transaction.

    Raises Silent after `seconds`, and psycopg's own error if anything else goes wrong.
    """
    pgconn, end = connection.pgconn, time.monotonic() + seconds
    pgconn.send_query(statement)
    while pgconn.flush():
        _wait(connection, end, select.POLLIN | select.POLLOUT)
    results = []
    while True:
        while pgconn.is_busy():
            _wait(connection, end, select.POLLIN)
        result = pgconn.get_result()
        if result is None:
            break
        results.append(result)
    for result in results:
        if result.status == ExecStatus.FATAL_ERROR:
            raise errors.error_from_result(result)
    return results[0].get_value(0, 0) if results and results[0].ntuples else None


def _wait(connection: Conn, end: float, events: int) -> None:
    poll = select.poll()
    poll.register(connection.pgconn.socket, events)
    left = end - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        connection.close()
        raise Silent("the database did not answer in time")
    connection.pgconn.consume_input()


def silent_for(connection: Conn) -> float:
    """Seconds for which a statement has been under way without a byte in either direction; 0 if there is none.

    Only for TCP on Linux: on other sockets it is 0.
    """
    try:
        if connection.pgconn.transaction_status != TransactionStatus.ACTIVE:
            return 0.0
        with _duplicate(connection) as copy:
            info = copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
        sent, received = (struct.unpack_from("I", info, place)[0] for place in (LAST_DATA_SENT, LAST_DATA_RECEIVED))
    except (OSError, OperationalError, AttributeError, struct.error):
        return 0.0
    return float(min(sent, received)) / 1000


def cut(connection: Conn) -> None:
    """Shut down the socket of a connection that another thread uses: whatever that waits for fails at once."""
    with contextlib.suppress(OSError, OperationalError), _duplicate(connection) as copy:
        copy.shutdown(socket.SHUT_RDWR)


def _duplicate(connection: Conn) -> socket.socket:
    """A separate object for the connection's socket. OSError if its number now belongs to something else."""
    copy = socket.socket(fileno=os.dup(connection.pgconn.socket))
    try:
        if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getpeername()[1] != connection.info.port:
            raise OSError("the descriptor was closed and is another socket now")
    except BaseException:
        copy.close()
        raise
    return copy


def tell_unreplicated(connection: Conn) -> None:
    """Let `unreplicated` know about a commit whose wait for its synchronous standby was cancelled.

    PostgreSQL reports such a commit as done, with a warning, although no standby has it. The warning is recognised by
    the function it comes from, because its text is translated.
    """

    def on_notice(diagnostic: Diagnostic) -> None:
        if diagnostic.source_function == "SyncRepWaitForLSN":
            connection.pacsync_unreplicated = True  # type: ignore[attr-defined]

    connection.add_notice_handler(on_notice)


def unreplicated(connection: Conn | None) -> bool:
    """Whether that has happened since the last call."""
    if not getattr(connection, "pacsync_unreplicated", False):
        return False
    del connection.pacsync_unreplicated  # type: ignore[union-attr]
    return True


def first_host(parameters: Mapping[str, Any], connection: Conn) -> dict[str, Any]:
    """The parameters, with the host of `connection` first if they name several.

    A host that is frozen or black-holed costs the whole connect_timeout each time it is tried first.
    """
    lists = {name: str(parameters[name]).split(",") for name in ("host", "hostaddr", "port") if parameters.get(name)}
    count = max((len(values) for values in lists.values()), default=1)
    if count == 1 or any(len(values) not in (1, count) for values in lists.values()):
        return dict(parameters)
    found = (connection.info.host, str(connection.info.port))
    hosts, ports = lists.get("host", [""]), lists.get("port", ["5432"])
    places = [(hosts[place % len(hosts)], ports[place % len(ports)] or "5432") for place in range(count)]
    if found not in places:
        return dict(parameters)
    first = places.index(found)
    order = [first, *(place for place in range(count) if place != first)]
    moved = {n: ",".join(v[place] for place in order) for n, v in lists.items() if len(v) == count}
    return {**parameters, **moved}
