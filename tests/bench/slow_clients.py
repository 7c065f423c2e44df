"""What everybody else notices of slow clients, directly and through HAProxy: `python -m tests.bench.slow_clients 20`.

Each row is one kind and number of slow clients that hold on for that many seconds, while probes, pages and the API are
asked and honest slow uploads run. It ends by itself. `--unprotected` is the negative twin: gunicorn's own threads.
"""

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.front_door import front_door
from tests.support.load import get
from tests.support.playground import Playground
from tests.support.server import migrate
from tests.support.slow_clients import (
    BEARER,
    Kind,
    Others,
    SlowClients,
    Upload,
    chunked_body,
    make_valid,
    slow_body,
    slow_head,
    slow_reader,
)

ASKED = {
    "/health/ready": {},
    "/health/live": {},
    "/login": {},
    "/api/v1/me": {"Authorization": "Bearer pse_" + "0" * 40},
}
SIZES = (0, 1, 100, 17 * 1024, 64 * 1024, 900_000)
NUMBERS = (8, 14, 30, 60)


def kinds() -> Iterator[Kind]:
    for token in (False, True):
        yield slow_head(token=token)
        yield chunked_body(token=token)
        path = "/api/v1/checkin" if token else "/api/v1/enroll"  # for strangers 900 KB are too much at once
        for size in SIZES:
            yield slow_body(size, token=token, length=900_001, path=path)
        yield slow_body(100, token=token, length=60_000, path=path)
        for size in SIZES[2:]:
            yield slow_reader(f"/letters/{size}", token=token)
        yield slow_reader("/agent/pacsync-agent", read=0, requests=100, token=token)
        yield slow_reader("/health/live", read=0, requests=500, token=token)


@contextmanager
def served(folder: Path, protected: bool) -> Iterator[Playground]:
    url = f"sqlite:///{folder / 'database.sqlite3'}"
    migrate(url)
    make_valid(url)
    env = {} if protected else {"PLAYGROUND_WITHOUT_GATHERING": "1"}
    with Playground(url, folder, ALLOWED_HOSTS="localhost", ACCESS_LOG="false", **env).started() as server:
        yield server


def row(where: str, port: int, kind: Kind, number: int, seconds: float, uploads: int, others: str) -> str:
    """One line of the table."""
    size, rate = int(20_000 * seconds), 20_000
    with SlowClients(port, kind, number) as slow:
        time.sleep(1)
        with Others(port, ASKED, source=others) as seen:
            honest = [Upload(port, "/measure", b"x" * size, rate, BEARER, source=others) for _ in range(uploads)]
            for upload in honest:
                upload.start()
            time.sleep(seconds)
            for upload in honest:
                upload.join(30)
    times = sorted(seen.times) or [0.0]
    finished = Counter(upload.status for upload in honest)["200"]
    return (
        f"| {where} | {kind.name}{' +token' if b'Authorization' in kind.first else ''} | {number} | {len(times)} "
        f"| {times[-1]:.2f} | {times[len(times) * 99 // 100]:.2f} | {len(seen.refused)} | {finished}/{uploads} "
        f"| {slow.opened} |" + (f" {Counter(seen.refused).most_common(1)[0][0]}" if seen.refused else "")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=20)
    parser.add_argument("--unprotected", action="store_true")
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--numbers", default=",".join(map(str, NUMBERS)))
    parser.add_argument("--kinds", default="", help="only those whose name contains this")
    parser.add_argument("--others", default="127.0.0.1", help="the address of everybody else")
    parser.add_argument("--where", default="direct,haproxy")
    given = parser.parse_args()
    print("| where | slow clients | number | others | slowest (s) | p99 (s) | refused | uploads | opened |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, served(Path(name), not given.unprotected) as server:
        for path in ASKED:  # the first request loads what Django loads then
            get(server.port, path, headers={"Host": "localhost"})
        with front_door([server.port], SOURCE_REQUESTS_IN_10_SECONDS=100_000) as door:
            for where, port in (("direct", server.port), ("haproxy", door.port)):
                for kind in (kind for kind in kinds() if where in given.where and given.kinds in kind.name):
                    for number in map(int, given.numbers.split(",")):
                        line = row(where, port, kind, number, given.seconds, given.uploads, given.others)
                        print(line, flush=True)


if __name__ == "__main__":
    main()
