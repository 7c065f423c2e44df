"""Whether the server could listen on an address, and how an address is written. It must not know gunicorn."""

import errno
import socket


def why_unusable(host: str, port: int) -> str | None:
    """Why the server can't listen on `host`:`port` at the moment, in one line; None if it can."""
    if host.startswith("unix:"):
        return None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()  # with SO_REUSEADDR, only this fails if something listens on another local address
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"{format_address((host, port))} is in use. Stop what uses it, or set HTTP_HOST and HTTP_PORT."
            forbidden = error.errno in (errno.EACCES, errno.EPERM)
            remedy = "HTTP_PORT to 1024 or more" if forbidden else "HTTP_HOST to an address of this machine"
            return f"{format_address((host, port))} can't be used: {error.strerror}. Set {remedy}."
    return None


def format_address(name: object) -> str:
    """host:port, [host]:port or unix:/path for what `getsockname()` returns."""
    if not isinstance(name, tuple):
        return f"unix:{name.decode() if isinstance(name, bytes) else name}"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
