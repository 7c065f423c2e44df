"""Asks a running instance over HTTP for its readiness, or for a component's status. Standard library only.

It must not know the configuration: it starts quickly because it loads no settings.
"""

import argparse
import http.client
import json
import os
import re
import socket
from urllib.parse import urlsplit

from apps.health.command.exit_codes import UNDETERMINED, Result, component_result, not_ready, ready, result
from apps.lifecycle.shared_memory import discovery

MAX_ANSWER = 1_000_000  # bytes
ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "localhost"}  # noqa: S104 - any address, and how to reach it
HEALTH_PATH = re.compile(r"/health(/[a-z]*)?$")  # the address of a probe stands for its server

TOKEN = re.compile(r"[!-~]+")  # what a header can carry


class Unanswered(Exception):
    """There was no answer, or not one from PacSync; the text is a sentence."""


def own_address() -> str:
    """Where this machine's instance listens: what the instance itself says, or else the environment."""
    port, host = os.environ.get("HTTP_PORT", "").strip() or "8080", os.environ.get("HTTP_HOST", "").strip("[]")
    if host.startswith("unix:"):
        return host
    instances = [memory for _, memory in discovery.instances() if memory.address]
    for field in ("port", "asked_port"):  # the second, in case an option or systemd has changed the port
        addresses = {memory.address for memory in instances if str(getattr(memory.header, field)) == port}
        found = {address for address in addresses if _listens_at(address, host)}
        if len(found) == 1:
            return reachable(found.pop())
    return reachable(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def _listens_at(address: str, host: str) -> bool:
    """Whether a server that listens on `address` is the one that HTTP_HOST (`host`) means."""
    listens = address.rpartition(":")[0]
    return f"[{host}]" in ANY or host in ANY or listens in ANY or listens.strip("[]") == host


def reachable(address: str) -> str:
    """The URL for an address that a server listens on: host:port, [host]:port or unix:/path."""
    if address.startswith("unix:"):
        return address
    host, _, port = address.rpartition(":")
    return f"http://{ANY.get(host, host)}:{port}"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket at `path`."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def shown(url: str) -> str:
    """The URL without a user name and password."""
    return re.sub(r"//[^/@]*@", "//", url)


def fetch(url: str, path: str, *, timeout: float, headers: dict[str, str]) -> tuple[int, Result]:
    """GET `path` below `url`. Returns the status and the JSON object. Raises Unanswered."""
    if url.startswith("unix:"):
        return asked(UnixConnection(url.removeprefix("unix:"), timeout=timeout), url, path, headers)
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        classes = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in classes or not parts.hostname:
            raise ValueError
    except (ValueError, http.client.HTTPException):
        raise Unanswered(f"{shown(url)!r} is not an http or https URL.") from None
    try:
        connection = classes[parts.scheme](parts.hostname, parts.port, timeout=timeout)
    except (ValueError, http.client.HTTPException):
        raise Unanswered(f"{shown(url)!r}: its port must be a number from 0 to 65535.") from None
    base = HEALTH_PATH.sub("", parts.path.rstrip("/"))
    return asked(connection, f"{parts.scheme}://{parts.netloc}", base + path, headers)


def asked(connection: http.client.HTTPConnection, url: str, path: str, headers: dict[str, str]) -> tuple[int, Result]:
    """GET `path`, and close the connection. Returns the status and the JSON object. Raises Unanswered."""
    try:
        connection.request("GET", path, headers={"Accept": "application/json", **headers})
        answer = connection.getresponse()
        body = json.loads(answer.read(MAX_ANSWER))
    except (OSError, http.client.HTTPException) as error:
        raise Unanswered(f"No answer from {shown(url)}: {str(error) or type(error).__name__}.") from error
    except (ValueError, RecursionError):
        raise Unanswered(f"{shown(url)}{path} answers, but not as PacSync does.") from None
    finally:
        connection.close()
    if not isinstance(body, dict) or "status" not in body:
        raise Unanswered(f"{shown(url)}{path} answers, but not as PacSync does.")
    return answer.status, body


def ask(options: argparse.Namespace) -> Result:
    """One attempt at a running instance."""
    url = options.url or own_address()
    try:
        if options.component is not None:
            return ask_component(url, options)
        status, body = fetch(url, "/health/ready", timeout=options.timeout, headers={})
    except (Unanswered, OSError) as error:
        return result(UNDETERMINED, str(error), reason="no_answer")
    if (status, body["status"]) == (200, "ready"):
        return ready(uptime_seconds=body.get("uptime_seconds"))
    if (status, body["status"]) != (503, "not_ready"):
        return result(UNDETERMINED, f"{shown(url)}/health/ready answers, but not as PacSync does.", reason="no_answer")
    return not_ready(str(body.get("reason", "")), texts(body.get("dependencies")))


def ask_component(url: str, options: argparse.Namespace) -> Result:
    headers = {}
    if options.token_file:
        with open(options.token_file, encoding="ascii", errors="replace") as file:
            token = file.read().strip()
        if not TOKEN.fullmatch(token):
            return result(UNDETERMINED, f"{options.token_file} must contain one API token and nothing else.")
        headers["Authorization"] = f"Bearer {token}"
    _, body = fetch(url, "/health/detailed?format=json", timeout=options.timeout, headers=headers)
    if "components" not in body:
        return result(UNDETERMINED, "The details are private here: name an API token with --token-file.")
    components = body["components"] if isinstance(body["components"], dict) else {}
    found = texts({name: item.get("status") for name, item in components.items() if isinstance(item, dict)})
    return component_result(options.component, texts(components.get("dependencies")) | found)


def texts(value: object) -> dict[str, str]:
    """The texts, by name, in what should be an object of texts; other values are left out."""
    return {name: text for name, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}
