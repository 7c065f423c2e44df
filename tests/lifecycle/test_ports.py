"""Why nobody can listen on an address, and what helps."""

import socket

from apps.lifecycle import ports


def test_port_in_use_says_what_to_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = ports.why_unusable("127.0.0.1", port)
    assert said == f"127.0.0.1:{port} is in use. Stop what uses it, or set HTTP_HOST and HTTP_PORT."


def test_address_in_use_is_written_with_brackets() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        said = ports.why_unusable("::", port) or ""
    assert said.startswith(f"[::]:{port} is in use.")


def test_host_that_is_none_of_this_machine_is_named_as_the_cause() -> None:
    for host in ("nobody.invalid", "192.0.2.1"):
        said = ports.why_unusable(host, 0) or ""
        assert said.startswith(f"{host}:0 can't be used: ")
        assert said.endswith(". Set HTTP_HOST to an address of this machine.")
