"""Whether the server could listen on an address, and how an address is written. It knows no gunicorn."""

import errno
import socket


def trouble(host: str, port: int) -> str | None:
    """Why nobody can listen on `host`:`port` at the moment, in one line; None when it is free."""
    if host.startswith("unix:"):
        return None
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()  # with SO_REUSEADDR only this fails beside a listener on another local address
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"{host}:{port} is in use. Stop what uses it, or set HTTP_HOST and HTTP_PORT."
            forbidden = error.errno in (errno.EACCES, errno.EPERM)
            remedy = "HTTP_PORT to 1024 or more" if forbidden else "HTTP_HOST to an address of this machine"
            return f"{host}:{port} can't be used: {error.strerror}. Set {remedy}."
    return None


def shown(name: object) -> str:
    """host:port, [host]:port or unix:/path for what `getsockname()` says."""
    if not isinstance(name, tuple):
        return f"unix:{name.decode() if isinstance(name, bytes) else name}"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
