"""A listener that takes no new connection, with the real kernel."""

import socket

import pytest

from apps.lifecycle.gunicorn import listeners


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_drop_new_connections_who_is_connected_stays_and_nobody_else_comes(family: int, host: str) -> None:
    with socket.create_server((host, 0), family=family) as listener:
        address = listener.getsockname()[:2]
        with socket.create_connection(address, timeout=5) as early:
            assert listeners.has_connection(listener, 0)
            listeners.drop_new_connections(listener)
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            client, _ = listener.accept()
            with client:
                early.sendall(b"x")
                assert client.recv(1) == b"x"
                client.sendall(b"y")
                assert early.recv(1) == b"y"
            assert not listeners.has_connection(listener, 0)


def test_drop_new_connections_unix_socket_goes_on(tmp_path: object) -> None:
    path = f"{tmp_path}/listener"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        listeners.drop_new_connections(listener)
        client.connect(path)
        assert listeners.has_connection(listener, 0)
