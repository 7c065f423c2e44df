"""`manage.py healthcheck --url`: the exit code and the sentence for what a server answers, and never a traceback."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from apps.health.command import healthcheck, remote
from tests.support.postgres import free_port

READY = {"status": "ready", "uptime_seconds": 1.0, "timestamp": "2025-01-15T10:30:00Z"}
NOT_READY = {"status": "not_ready", "reason": "database_unhealthy", "timestamp": "2025-01-15T10:30:00Z"}
MISSING = {"status": "not_ready", "reason": "dependencies_not_ready", "dependencies": {"pool_manager": "unhealthy"}}
DETAILED = {
    "status": "unhealthy",
    "components": {"database": {"status": "healthy"}, "dependencies": {"pool_manager": "unhealthy"}},
}


class Answers(HTTPServer):
    """A server that answers each path as it is told: (status, body)."""

    answers: dict[str, tuple[int, bytes]]
    held: threading.Event | None = None  # no answer before it is set

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def say(self, path: str, status: int, body: object) -> None:
        self.answers[path] = (status, body if isinstance(body, bytes) else json.dumps(body).encode())


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        if self.server.held:
            self.server.held.wait(60)
        status, body = self.server.answers.get(self.path, (404, b"nothing"))
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Answers]:
    with Answers(("127.0.0.1", 0), Handler) as made:
        made.answers = {}
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "code", "words"),
    [
        (200, READY, 0, "ready"),
        (503, NOT_READY, 1, "database_unhealthy"),
        (503, MISSING, 1, "pool_manager is unhealthy"),
        (200, b"<html>", 2, "not as PacSync"),
        (200, [1], 2, "not as PacSync"),
        (200, {"status": "fine"}, 2, "not as PacSync"),
        (503, READY, 2, "not as PacSync"),
        (502, b"bad gateway", 2, "not as PacSync"),
        (404, b"", 2, "not as PacSync"),
    ],
)
def test_url_exit_code_is_what_the_instance_says(
    server: Answers, capsys: pytest.CaptureFixture[str], status: int, body: object, code: int, words: str
) -> None:
    server.say("/health/ready", status, body)
    assert healthcheck.main(["--url", server.url]) == code
    assert words in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["", "/", "/health/ready", "/health", "/health/live/"])
def test_url_of_a_probe_means_its_server(server: Answers, suffix: str) -> None:
    server.say("/health/ready", 200, READY)
    assert healthcheck.main(["--url", server.url + suffix]) == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        *((url, "not an http or https URL") for url in ("ftp://localhost", "http://", "http://[")),
        *((url, "its port must be a number from 0 to 65535") for url in ("http://localhost:99999", "http://x:y")),
    ],
)
def test_url_that_is_none_could_not_be_determined(url: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main(["--url", url]) == 2
    assert words in capsys.readouterr().out


def test_url_with_a_path_is_shown_as_it_was_asked(server: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    server.say("/below/health/ready", 200, b"<html>")
    assert healthcheck.main(["--url", f"{server.url}/below?token=secret"]) == 2
    assert f"{server.url}/below/health/ready answers, but not as PacSync does." in capsys.readouterr().out


def test_url_without_a_value_is_the_instance_of_this_machine(server: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    server.say("/health/ready", 200, READY)
    monkeypatch.setenv("HTTP_PORT", str(server.server_port))
    assert healthcheck.main(["--url"]) == 0
    monkeypatch.setenv("HTTP_HOST", "127.0.0.1")
    assert healthcheck.main(["--url"]) == 0
    monkeypatch.setenv("HTTP_HOST", "unix:/nowhere/socket")
    assert remote.own_address() == "unix:/nowhere/socket"
    monkeypatch.setenv("HTTP_HOST", "::1")
    assert remote.own_address() == f"http://[::1]:{server.server_port}"


def test_url_nobody_there_could_not_be_determined(capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main(["--url", f"http://127.0.0.1:{free_port()}"]) == 2
    assert "No answer" in capsys.readouterr().out


def test_url_slow_answer_ends_with_the_timeout(server: Answers) -> None:
    server.say("/health/ready", 200, READY)
    server.held = threading.Event()
    started = time.monotonic()
    assert healthcheck.main(["--url", server.url, "--timeout", "0.3"]) == 2
    assert time.monotonic() - started < 30  # the answer would have come after 60
    server.held.set()


def test_url_component_is_read_from_the_details(server: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    server.say("/health/detailed?format=json", 503, DETAILED)
    assert healthcheck.main(["--url", server.url, "--component", "database"]) == 0
    assert healthcheck.main(["--url", server.url, "--component", "pool_manager"]) == 1
    assert healthcheck.main(["--url", server.url, "--component", "nonsense"]) == 2
    assert healthcheck.main(["--url", server.url, "--component", ""]) == 2
    assert "There are: database, pool_manager." in capsys.readouterr().out
    server.say("/health/detailed?format=json", 200, {"status": "healthy", "details": "private"})
    assert healthcheck.main(["--url", server.url, "--component", "database"]) == 2
    assert "--token-file" in capsys.readouterr().out
    assert healthcheck.main(["--url", server.url, "--component", "database", "--token-file", "/nonexistent"]) == 2


@pytest.mark.parametrize("text", ["", "pst_1\npst_2\n", "pst_ä\n", "pst_1 pst_2"])
def test_token_file_with_anything_but_one_token_is_named(
    server: Answers, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    assert healthcheck.main(["--url", server.url, "--component", "database", "--token-file", str(file)]) == 2
    assert f"{file} must contain one API token and nothing else." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("address", "host", "is_it"),
    [
        ("0.0.0.0:8080", "10.0.0.1", True),
        ("[::]:8080", "127.0.0.9", True),
        ("127.0.0.1:8080", "", True),
        ("127.0.0.1:8080", "::", True),
        ("[::1]:8080", "::1", True),
        ("127.0.0.1:8080", "127.0.0.9", False),
        ("unix:/run/socket", "127.0.0.1", False),
    ],
)
def test_instance_that_listens_elsewhere_is_not_this_one(address: str, host: str, is_it: bool) -> None:
    assert remote._listens_at(address, host) == is_it


def test_wait_goes_on_until_it_is_ready(server: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    server.say("/health/ready", 503, NOT_READY)
    timer = threading.Timer(0.7, lambda: server.say("/health/ready", 200, READY))
    timer.start()
    assert healthcheck.main(["--url", server.url, "--wait", "20"]) == 0
    timer.join()
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_wait_ends_with_the_last_result(server: Answers) -> None:
    server.say("/health/ready", 503, NOT_READY)
    assert healthcheck.main(["--url", server.url, "--wait", "1"]) == 1


def test_format_json_is_one_object(server: Answers, capsys: pytest.CaptureFixture[str]) -> None:
    server.say("/health/ready", 503, MISSING)
    healthcheck.main(["--url", server.url, "--format", "json"])
    body = json.loads(capsys.readouterr().out)
    assert (body["status"], body["exit_code"], body["reason"]) == ("not_ready", 1, "dependencies_not_ready")
    assert body["dependencies"] == {"pool_manager": "unhealthy"}


def test_url_loads_no_django(server: Answers) -> None:
    server.say("/health/ready", 200, READY)
    code = (
        "import sys; sys.argv = ['manage.py', 'healthcheck', '--url', sys.argv[1]]\n"
        "import runpy\n"
        "try: runpy.run_path('manage.py', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert 'django' not in sys.modules and 'pacsync' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, server.url],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        env={},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[" * 100_000, 2),
        ({"status": "not_ready", "dependencies": [1]}, 1),
        ({"status": "not_ready", "reason": "\ud800\n\x1b[31m"}, 1),
    ],
)
def test_url_answer_that_makes_no_sense_is_one_line(
    server: Answers, capfd: pytest.CaptureFixture[str], body: object, code: int
) -> None:
    server.say("/health/ready", 503, body)
    assert healthcheck.main(["--url", server.url]) == code
    said = capfd.readouterr()
    assert said.out.count("\n") == 1 and said.out[:-1].isprintable() and said.err == ""


@pytest.mark.parametrize("components", ["x", {"database": None}, {"dependencies": [1]}])
def test_component_of_a_senseless_report_could_not_be_determined(
    server: Answers, capfd: pytest.CaptureFixture[str], components: object
) -> None:
    server.say("/health/detailed?format=json", 200, {"status": "healthy", "components": components})
    assert healthcheck.main(["--url", server.url, "--component", "database"]) == 2
    assert capfd.readouterr().err == ""


def test_url_senseless_is_a_sentence_without_its_password(capfd: pytest.CaptureFixture[str]) -> None:
    assert healthcheck.main(["--url", "x y z"]) == 2
    assert healthcheck.main(["--url", f"http://me:secret@127.0.0.1:{free_port()}"]) == 2
    said = capfd.readouterr()
    assert "secret" not in said.out and said.err == ""
    with pytest.raises(SystemExit) as ended:
        healthcheck.main(["--url", "--timeout", "1e300"])
    assert ended.value.code == 2
