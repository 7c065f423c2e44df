"""`make demo`: a server with a simulated fleet, on this machine only, until Ctrl-C. It leaves nothing behind.

The fleet is written to the database first. Then its agents and operators work through the API.
"""

import argparse
import contextlib
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import django

from demo import server
from demo.api import Api
from demo.life import Life

ENDPOINTS, MOST = 200, 2000
TEXT = """
  PacSync shows a simulated fleet of {endpoints} machines.

  Dashboard      {url}/            sign in as {user}, password {password}
  Health         {url}/health/detailed
  API            {url}/api/v1/docs
                 curl -H 'Authorization: Bearer {token}' '{url}/api/v1/endpoints?status=behind'

  A new target is being rolled out to the workstations. Ctrl-C stops the server and removes its files.
"""


@dataclass(frozen=True)
class Demo:
    """A running demo: its address, the administrator's name and password, and an operator's token for the API."""

    url: str
    user: str
    password: str
    token: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running(folder: Path, *, endpoints: int = ENDPOINTS) -> Iterator[Demo]:
    """A server with a simulated fleet, whose database is in `folder`. Raises NotStarted.

    It sets up Django for that database, which works only once in a process.
    """
    port = server.free_port()
    environ = server.environment(folder, port)
    os.environ.update(environ)
    django.setup()
    # Models can be loaded only now.
    from demo import database, people, vulnerabilities
    from demo.machines import Fleet

    database.migrate()
    user, password = "admin", secrets.token_urlsafe(6)
    token = database.add_people(user, password)
    api = Api(port)
    agents = database.agents(database.fill(Fleet(endpoints=endpoints)), api)
    vulnerabilities.take(environ["SECURITY_TRACKER_URL"])
    database.close()
    life = Life([*(agent.step for agent in agents), people.People(api, token, agents).step])
    with server.running(environ) as process:
        life.start()
        try:
            yield Demo(f"http://127.0.0.1:{port}", user, password, token, process)
        finally:
            life.stop()


def main() -> int:
    """Run until Ctrl-C, SIGTERM or SIGHUP. The exit code is 1 if the server doesn't start or ends by itself."""
    parser = argparse.ArgumentParser(prog="make demo", description="A server with a simulated fleet, until Ctrl-C.")
    parser.add_argument(
        "--endpoints", type=int, default=ENDPOINTS, metavar="N", help="number of machines (%(default)s)"
    )
    endpoints = parser.parse_args().endpoints
    if not 10 <= endpoints <= MOST:
        parser.error(f"--endpoints takes 10 to {MOST}: one process can't simulate more.")
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: closing the terminal stops the server, too
        signal.signal(number, signal.default_int_handler)
    try:
        with server.new_folder() as folder:
            print(f"Writing a fleet of {endpoints} machines …", flush=True)
            with running(folder, endpoints=endpoints) as demo:
                print(TEXT.format(endpoints=endpoints, **vars(demo)), flush=True)
                print(f"The server ended with exit code {demo.process.wait()}.", file=sys.stderr)
        return 1
    except server.NotStarted as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nThe demo has ended and left nothing behind.", flush=True)
        return 0


if __name__ == "__main__":
    sys.exit(main())
