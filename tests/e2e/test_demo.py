"""`make demo`, for real: it starts, its fleet goes on by itself, Ctrl-C ends it, and nothing of it is left."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.isolation import clean
from tests.support.postgres import free_port
from tests.support.wait import until

ROOT = Path(__file__).resolve().parents[2]


class Demo:
    """The running command; `temporary` is where it may write."""

    def __init__(self, temporary: Path) -> None:
        self.temporary, self.port = temporary, free_port()
        self.log = temporary / "log"
        env = clean(os.environ) | {"TMPDIR": str(temporary), "HTTP_PORT": str(self.port)}
        command = [sys.executable, "-m", "demo", "--endpoints", "30"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        until(lambda: "Ctrl-C" in self.said() or self.process.poll() is not None, seconds=150)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def get(self, path: str) -> dict[str, Any]:
        token = re.findall(r"pst_[\w-]+", self.said())[0]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", f"/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def ended(self) -> dict[str, str]:
        """The operations that have come to an end since they were queued."""
        items = self.get("/operations?limit=200")["items"]
        return {one["id"]: one["status"] for one in items if one["finished"]}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    made = Demo(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()


def test_demo_goes_on_by_itself_and_leaves_nothing(demo: Demo) -> None:
    data = {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*")}
    assert f"http://127.0.0.1:{demo.port}/" in demo.said()
    assert demo.get("/vulnerabilities")["items"]
    before = demo.ended()
    until(lambda: demo.ended().keys() - before.keys(), seconds=200)
    assert list(demo.temporary.glob("pacsync-demo-*/demo.sqlite3"))
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(60) == 0, demo.said()
    assert "Traceback" not in demo.said()
    assert not list(demo.temporary.glob("pacsync-demo-*"))
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*")} == data
    with pytest.raises(OSError):
        demo.get("/pools")
