"""The shipped deploy/prometheus and deploy/alertmanager under a real Prometheus and Alertmanager, on loopback ports.

Only addresses are replaced, and every waiting time is a tenth of the shipped one. It must not know alerts or queries.
"""

import json
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from tests.support.load import get
from tests.support.postgres import free_port
from tests.support.server import ROOT
from tests.support.wait import until

PROMETHEUS, ALERTMANAGER = ROOT / "deploy" / "prometheus", ROOT / "deploy" / "alertmanager" / "alertmanager.yml"
SECONDS = {"s": 1, "m": 60, "h": 3600}
WAITS = re.compile(r"\b(for|interval|group_wait|group_interval|repeat_interval): (\d+)([smh])\b")
SCRAPES = 2  # seconds, also the longest scrape: a busy machine's server answers in that time


@dataclass(frozen=True)
class Monitor:
    """A running Prometheus or Alertmanager."""

    port: int

    def ask(self, path: str) -> Any:
        status, _, body = get(self.port, path)
        assert status == 200, body
        return json.loads(body)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that Prometheus has for it now."""
        found: list[dict[str, Any]] = self.ask(f"/api/v1/query?query={quote(expression)}")["data"]["result"]
        return found


@dataclass
class Receiver:
    """What a webhook was sent: (path, Authorization, message), in order. `url` has no slash at its end."""

    url: str
    received: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def alerts(self, path: str) -> list[dict[str, Any]]:
        """The alerts of all messages to this path."""
        return [alert for sent, _, message in self.received if sent == path for alert in message["alerts"]]


@contextmanager
def webhook() -> Iterator[Receiver]:
    """A server that takes every message."""
    port = free_port()
    receiver = Receiver(f"http://127.0.0.1:{port}")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            receiver.received.append((self.path, self.headers.get("Authorization", ""), message))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def quicker(text: str) -> str:
    """The same with each waiting time a tenth of what it was."""
    return WAITS.sub(lambda found: f"{found[1]}: {int(found[2]) * SECONDS[found[3]] * 100}ms", text)


@contextmanager
def alertmanager(folder: Path, receiver: Receiver, token: str) -> Iterator[Monitor]:
    """An Alertmanager that sends to `receiver`, with `token` from a file."""
    text = quicker(ALERTMANAGER.read_text())
    for old, new in (("http://alerts.example.com:9000", receiver.url), ("/etc/alertmanager-secrets", str(folder))):
        assert old in text, old
        text = text.replace(old, new)
    (folder / "alertmanager.yml").write_text(text)
    (folder / "webhook-token").write_text(token)
    options = [f"--config.file={folder}/alertmanager.yml", "--cluster.listen-address="]
    with _running("prometheus-alertmanager", folder, *options) as monitor:
        yield monitor


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, Sequence[int]], alerts_to: int = 0) -> Iterator[Monitor]:
    """A Prometheus that scrapes these ports by job, and sends its alerts to the Alertmanager on that port."""
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    scrapes = {scrape["job_name"]: scrape for scrape in configuration["scrape_configs"]}
    for job, ports in targets.items():
        scrapes[job].pop("dns_sd_configs", None)
        scrapes[job] |= {"scrape_interval": f"{SCRAPES}s", "scrape_timeout": f"{SCRAPES}s"}
        scrapes[job]["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    configuration["scrape_configs"] = [scrapes[job] for job in targets]
    if alerts_to:
        configuration["alerting"]["alertmanagers"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{alerts_to}"]}]
    else:
        del configuration["alerting"]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    for name in configuration["rule_files"]:
        (folder / name).write_text(quicker((PROMETHEUS / name).read_text()))
    with _running("prometheus", folder, f"--config.file={folder}/prometheus.yml") as monitor:
        yield monitor


@contextmanager
def _running(program: str, folder: Path, *options: str) -> Iterator[Monitor]:
    monitor = Monitor(free_port())
    data = "--storage.tsdb.path" if program == "prometheus" else "--storage.path"
    command = [program, f"--web.listen-address=127.0.0.1:{monitor.port}", f"{data}={folder}/{program}", *options]
    with (folder / f"{program}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:

        def ready() -> bool:
            assert process.poll() is None, (folder / f"{program}.log").read_text()
            return get(monitor.port, "/-/ready")[0] == 200

        until(ready, 60, ignoring=(OSError,))
        yield monitor
    finally:
        process.kill()
        process.wait(timeout=10)
