"""The shipped HAProxy configuration with IPv6: its clients, and an instance that DNS names by IPv6 alone."""

import socket

import pytest

from tests.support.front_door import front_door
from tests.support.nameserver import nameserver
from tests.support.server import Server
from tests.support.wait import until

pytestmark = pytest.mark.needs("haproxy")


def test_client_of_either_family_reaches_the_instance_and_is_known_by_its_address(sqlite_url: str) -> None:
    server = Server(sqlite_url, STRUCTURED_LOGGING="false", FORWARDED_ALLOW_IPS="127.0.0.0/8,::1")
    server.environment["HTTP_HOST"] = "::"
    with (
        server.started(),
        nameserver("::1") as port,
        front_door([server.port], nameserver=port, LISTEN_IPV6="yes") as door,
    ):
        for host, source in (("127.0.0.1", "127.0.0.5"), ("::1", "::1")):
            with socket.create_connection((host, door.port), timeout=20, source_address=(source, 0)) as one:
                one.sendall(b"GET /login HTTP/1.0\r\nHost: localhost\r\n\r\n")
                assert one.makefile("rb").readline().split()[1] == b"200"
            until(lambda source=source: f"]: {source} GET /login 200 " in server.log())
