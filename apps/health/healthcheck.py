"""The `healthcheck` command: its options, asking a running instance, waiting, output. Standard library only.

`manage.py` comes here before Django is loaded: a container runs this every few seconds, and whatever is broken in the
settings must be a sentence. Only `apps.health.local` (the configuration itself) loads Django.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Any
from urllib.parse import urlsplit

from apps.lifecycle import memory, standard_output

READY, NOT_READY, UNDETERMINED = 0, 1, 2
STATUS = {READY: "ready", NOT_READY: "not_ready", UNDETERMINED: "undetermined"}
COMPONENTS = (
    "database",
    "database_writes",
    "dbpool",
    "migrations",
    "pool_manager",
    "sync_coordinator",
    "endpoint_manager",
)
PAUSE = 0.5  # seconds between two tries of --wait
MAX_ANSWER = 1_000_000  # bytes

DESCRIPTION = """Tell whether the server is ready, by its exit code and in one line.

Without --url this process checks the configuration itself: the settings, the database, the migrations and each
component. With --url it asks a running instance, and starts quickly because it doesn't load the settings."""
EPILOG = """exit codes:
  0  ready (with --component: the component works)
  1  not ready; the line says why
  2  could not be determined: nobody answers at the URL, the settings are broken, an unknown component or option

examples:
  manage.py healthcheck --url                        the instance on this machine, for a container's health check
  manage.py healthcheck --url http://10.0.0.5:8080   another one
  manage.py healthcheck --wait 60 && next-step       in a script: go on once the database is there and migrated
  manage.py healthcheck --component database --format json"""

Result = dict[str, Any]
"""`exit_code`, `status`, `message` (a sentence), `timestamp`; if known `reason`, `dependencies`, `component`."""


def result(code: int, message: str, **known: Any) -> Result:
    """The result of one try; `known` fields that are empty are left out."""
    return {
        "status": STATUS[code],
        "exit_code": code,
        "message": message,
        **{key: value for key, value in known.items() if value},
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


# --- Options ----------------------------------------------------------------------------------------------------------
def seconds(text: str) -> float:
    """A number of seconds that is not negative, and that a wait can take."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 1000000 at most, not {text!r}")
    return value


def positive_seconds(text: str) -> float:
    """The same, and not 0: nothing can be found out in no time."""
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        nargs="?",
        const="",
        metavar="URL",
        help="ask the running instance at URL (without a value: the one on this machine, wherever it listens)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="one line (default), or JSON")
    parser.add_argument(
        "--wait", type=seconds, default=0.0, metavar="SECONDS", help="try again until it is ready, at most this long"
    )
    parser.add_argument(
        "--timeout", type=positive_seconds, default=5.0, metavar="SECONDS", help="how long one try may take (default 5)"
    )
    parser.add_argument("--component", metavar="NAME", help=f"only this component, one of {', '.join(COMPONENTS)}")
    parser.add_argument(
        "--token-file", metavar="FILE", help="API token for --url with --component where HEALTH_DETAIL is private"
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="manage.py healthcheck",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(made)
    return made


# --- Asking a running instance ----------------------------------------------------------------------------------------
ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - any address, and how to reach it
HEALTH_PATH = re.compile(r"/health(/[a-z]*)?$")  # who gives the address of a probe means its server


class Unanswered(Exception):
    """Nobody answered, or not PacSync; the text is a sentence."""


def own_address() -> str:
    """Where the instance of this machine listens: as the instance itself says, else as the environment does."""
    port = os.environ.get("HTTP_PORT", "").strip() or "8080"
    boards = [board for _, board in memory.instances() if board.address]
    for word in (memory.PORT, memory.ASKED_PORT):  # the second: an option or systemd has changed the port
        found = {board.address for board in boards if str(board.integers[word]) == port}
        if len(found) == 1:
            return reachable(found.pop())
    host = os.environ.get("HTTP_HOST", "").strip("[]")
    if host.startswith("unix:"):
        return host
    return reachable(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def reachable(address: str) -> str:
    """The URL for an address that is listened on: host:port, [host]:port or unix:/path."""
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
    """GET `path` below `url`; status and JSON object. Raises Unanswered."""
    if url.startswith("unix:"):
        return asked(UnixConnection(url.removeprefix("unix:"), timeout=timeout), url, path, headers)
    try:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        classes = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        if parts.scheme not in classes or not parts.hostname:
            raise ValueError
        connection = classes[parts.scheme](parts.hostname, parts.port, timeout=timeout)
    except (ValueError, http.client.HTTPException):
        raise Unanswered(f"{shown(url)!r} is not an http or https URL.") from None
    base = HEALTH_PATH.sub("", parts.path.rstrip("/"))
    return asked(connection, url, base + path, headers)


def asked(connection: http.client.HTTPConnection, url: str, path: str, headers: dict[str, str]) -> tuple[int, Result]:
    """GET `path`; status and JSON object. Raises Unanswered; closes the connection."""
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
    """One try at a running instance."""
    url = options.url or own_address()
    try:
        if options.component:
            return ask_component(url, options)
        status, body = fetch(url, "/health/ready", timeout=options.timeout, headers={})
    except (Unanswered, OSError) as error:
        return result(UNDETERMINED, str(error), reason="no_answer")
    if (status, body["status"]) == (200, "ready"):
        return result(READY, CAN_SERVE, uptime_seconds=body.get("uptime_seconds"))
    if (status, body["status"]) != (503, "not_ready"):
        return result(UNDETERMINED, f"{shown(url)}/health/ready answers, but not as PacSync does.", reason="no_answer")
    return not_ready(str(body.get("reason", "")), texts(body.get("dependencies")))


def ask_component(url: str, options: argparse.Namespace) -> Result:
    headers = {}
    if options.token_file:
        with open(options.token_file, encoding="ascii", errors="replace") as file:
            headers["Authorization"] = f"Bearer {file.read().strip()}"
    _, body = fetch(url, "/health/detailed?format=json", timeout=options.timeout, headers=headers)
    if "components" not in body:
        return result(UNDETERMINED, "The details are private here: name an API token with --token-file.")
    components = body["components"] if isinstance(body["components"], dict) else {}
    found = texts({name: item.get("status") for name, item in components.items() if isinstance(item, dict)})
    return component_result(options.component, texts(components.get("dependencies")) | found)


def texts(value: object) -> dict[str, str]:
    """The texts by name in what should be an object of texts; what is none is left out."""
    return {name: text for name, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}


CAN_SERVE = "Requests can be served."
SENTENCES = {
    "starting": "The server has just started; its first checks are not done.",
    "checker_stalled": "The server's health checks don't run any more: restart it.",
    "database_unhealthy": "The database cannot be used.",
    "database_not_writable": "The database can be read, but takes no changes.",
    "migrations_pending": "The database lacks migrations: run `python manage.py migrate`.",
    "dependencies_not_ready": "Not every component can work",
    "shutting_down": "The server is shutting down.",
}


def not_ready(reason: str, dependencies: dict[str, str], detail: str = "") -> Result:
    """The result for a reason of /health/ready. `detail` is added to the sentence."""
    message = SENTENCES.get(reason, "The server is not ready.")
    if dependencies:
        message += ": " + ", ".join(f"{name} is {status}" for name, status in dependencies.items()) + "."
    return result(NOT_READY, f"{message} {detail}".strip(), reason=reason, dependencies=dependencies)


def component_result(name: str, found: dict[str, str], details: dict[str, str] | None = None) -> Result:
    """The result for one component, of all those `found` with their status."""
    if name not in found:
        return result(UNDETERMINED, f"There is no component {name!r}. There are: {', '.join(sorted(found))}.")
    works = found[name] in ("healthy", "degraded")
    message = f"{name} is {found[name]}. {(details or {}).get(name, '')}".strip()
    return result(READY if works else NOT_READY, message, component={"name": name, "status": found[name]})


# --- One command ------------------------------------------------------------------------------------------------------
def bounded(work: Callable[[], Result], limit: float, late: Callable[[], Result]) -> Result:
    """What `work` returns, or what `late` does after `limit` seconds; the work goes on in a daemon thread then."""
    found: list[Result] = []
    thread = threading.Thread(target=lambda: found.append(work()), daemon=True)
    thread.start()
    thread.join(limit)
    return found[0] if found else late()


def one_try(options: argparse.Namespace) -> Result:
    if options.url is None:
        from apps.health import local

        return local.check(component=options.component, timeout=options.timeout)
    after = f"No answer within {options.timeout:g} s."
    return bounded(lambda: ask(options), options.timeout, lambda: result(UNDETERMINED, after, reason="no_answer"))


def run(options: argparse.Namespace, output: IO[str] | None = None) -> int:
    """Try, again while --wait lasts, print the last result; the exit code."""
    deadline = time.monotonic() + options.wait
    found = one_try(options)
    while found["exit_code"] != READY and time.monotonic() + PAUSE < deadline:
        time.sleep(PAUSE)
        found = one_try(options)
    if options.format == "json":
        text = json.dumps(found)
    else:
        reason = f" ({found['reason']})" if found.get("reason") else ""
        said = f"{found['status'].replace('_', ' ')}{reason}: {found['message']}"
        # One line, whatever a stranger's server says: no line ends, no escape sequences of a terminal.
        text = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in said)
    print(text, file=output or sys.stdout, flush=True)
    return int(found["exit_code"])


def main(arguments: Sequence[str]) -> int:
    """Run the command with these arguments; the exit code. SystemExit for --help and unknown options."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except Exception as error:  # the edge: Python's own exit code is 1, which means something else here
        text = f"undetermined: {type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            print("".join(letter if letter.isprintable() else " " for letter in text), file=sys.stderr, flush=True)
        return UNDETERMINED
    finally:
        standard_output.abandon()
