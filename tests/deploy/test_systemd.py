"""The server without containers: the commands of docs/operations/systemd.md, under a real systemd as process 1."""

import re
import threading
from collections.abc import Iterator

import pytest

from tests.deploy import systemd
from tests.deploy.engine import ROOT, eventually, fetch, status
from tests.deploy.load import Load
from tests.support.postgres import free_port

pytestmark = pytest.mark.timeout(900)
SERVER, SOCKET = "pacsync-server", "pacsync-server.socket"
HTTPS = {"X-Forwarded-Proto": "https"}
# What the documented `pip install` needs, installed while there is a network for sure: it then finds all of it there.
VENV = """
COPY requirements.txt /
RUN python3 -m venv /opt/pacsync-1.0.0/.venv \
 && /opt/pacsync-1.0.0/.venv/bin/pip install -q --require-hashes -r /requirements.txt
"""
# The folder is there, and there is no server to clone from: the checkout of this test is copied.
CLONE = "cp -rt /opt/pacsync-$version /checkout/{apps,deploy,pacsync,manage.py,requirements.txt}"
ANOTHER_ADDRESS = """mkdir -p /etc/systemd/system/pacsync-server.socket.d
printf '[Socket]\\nListenStream=\\nListenStream=8080\\n' >/etc/systemd/system/pacsync-server.socket.d/override.conf
"""
SETTINGS = """cat >>/etc/pacsync/server.env <<END
SECRET_KEY=only-for-tests-only-for-tests-only-for-tests-only-for-tests
SHUTDOWN_DRAIN_DELAY=1
END
"""


def documented(heading: str, number: int) -> str:
    """The commands of the block `number` (from 0) after a heading of docs/operations/systemd.md."""
    text = (ROOT / "docs" / "operations" / "systemd.md").read_text()
    section = text[text.index(f"\n{heading}\n") :]
    return re.findall(r"^```\n(.*?)^```$", section, re.M | re.S)[number]


INSTALL, ONCE = (documented("## Install", number) for number in (0, 1))
COPY, RESTORE = (documented("## Back up and restore", number) for number in (0, 1))


class Server(systemd.SystemdMachine):
    """A machine with the server, which anybody may reach on `port`."""

    def __init__(self, tag: str) -> None:
        self.port = free_port()
        super().__init__(tag, "-p", f"127.0.0.1:{self.port}:8080", "-v", f"{ROOT}:/checkout:ro")

    def install(self) -> None:
        commands, clones = re.subn(r"git clone \S+ \S+", CLONE, INSTALL)
        assert clones == 1, INSTALL
        *prepare, start = ONCE.splitlines()
        assert start == "systemctl enable --now pacsync-server"
        self.sh("\n".join([commands, *prepare, SETTINGS, ANOTHER_ADDRESS, "systemctl daemon-reload", start]))

    def ready(self) -> None:
        try:
            eventually(lambda: status(self.port, "/health/ready") == 200, within=60, what="ready")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.journal(SERVER, SOCKET)[-3000:]}") from None

    def load(self) -> Load:
        return Load(self.port, lambda number: ("GET", "/login", None, HTTPS), rate=40, threads=8)

    def survives(self, command: str) -> None:
        """AssertionError when a request that is made while the command runs gets no answer."""
        with self.load() as load:
            eventually(lambda: load.result.sent > 40, within=30)
            self.sh(command)
            sent = load.result.sent
            eventually(lambda: load.result.sent > sent + 80, within=60)
        assert load.result.lost == [], load.result


@pytest.fixture(scope="module")
def server(containers: None) -> Iterator[Server]:
    """Installed and started as documented."""
    requirements = ROOT / "requirements.txt"
    # procps has the /bin/kill that most machines have.
    with systemd.image("server", "python:3.13-slim-trixie", packages="procps", more=VENV, files=(requirements,)) as tag:
        machine = Server(tag)
        try:
            machine.install()
            machine.ready()
            yield machine
        finally:
            machine.remove()


@pytest.fixture(autouse=True)
def as_before(server: Server) -> Iterator[None]:
    """Whatever a test did to it, the next one finds the server ready."""
    yield
    server.sh(f"systemctl reset-failed; systemctl start {SERVER}")
    server.ready()


def test_documented_commands_give_pages_with_their_style(server: Server) -> None:
    for unit in (SERVER, SOCKET):
        assert server.systemctl("is-active", unit) == "active"
        assert server.systemctl("is-enabled", unit) == "enabled"
    code, _, page = fetch(server.port, "/login", headers=HTTPS)
    assert code == 200
    sheets = re.findall(r'<link rel="stylesheet" href="([^"]+)"', page.decode())
    assert sheets
    assert {fetch(server.port, sheet, headers=HTTPS)[0] for sheet in sheets} == {200}


def test_sandboxed_server_owns_and_writes_its_own_folder_only(server: Server) -> None:
    assert server.sh("find / -xdev -user pacsync ! -path '/var/lib/pacsync*'") == ""
    pid = server.show(SERVER, "MainPID")
    inside = f"nsenter --target {pid} --mount --"
    server.sh(f"{inside} touch /var/lib/pacsync/it && rm /var/lib/pacsync/it")
    for folder in ("/opt/pacsync", "/etc", "/var/tmp/..", "/var/log"):
        assert "Read-only file system" in server.sh(f"{inside} touch {folder}/it", check=False)
    facts = dict(re.findall(r"^(\w+):\s+(\w+)", server.sh(f"cat /proc/{pid}/status"), re.M))
    assert (int(facts["CapBnd"], 16), facts["NoNewPrivs"], facts["Seccomp"]) == (0, "1", "2")


def test_manage_makes_tokens_as_the_user_of_the_service(server: Server) -> None:
    assert server.sh("pacsync-manage create_api_token first --role operator").startswith("pst_")
    assert server.sh("pacsync-manage healthcheck --url http://127.0.0.1:8080").startswith("ready")
    assert "exit 1" in server.sh("pacsync-manage no_such_command || echo exit $?")
    who = "import os; print(os.getuid())"
    assert server.sh(f"pacsync-manage shell -v 0 -c '{who}'") == server.sh("id -u pacsync")


def test_restart_loses_no_request(server: Server) -> None:
    before = server.show(SERVER, "MainPID")
    server.survives(f"systemctl restart {SERVER}")
    assert server.show(SERVER, "MainPID") != before


def test_reload_loses_no_request_and_keeps_the_master(server: Server) -> None:
    processes = f"cat /sys/fs/cgroup/system.slice/{SERVER}.service/cgroup.procs"
    master, before = server.show(SERVER, "MainPID"), set(server.sh(processes).split())
    server.survives(f"systemctl reload {SERVER}")
    eventually(lambda: before & set(server.sh(processes).split()) == {master}, within=60, what="the workers are new")


def test_stop_drains_and_exits_zero_and_nobody_starts_it_again(server: Server) -> None:
    server.sh(f"systemctl stop {SOCKET}")
    assert server.systemctl("is-active", SERVER, SOCKET).split() == ["inactive", "inactive"]
    assert (server.show(SERVER, "Result"), server.show(SERVER, "ExecMainStatus")) == ("success", "0")
    assert "shutdown complete: signal=SIGTERM drained_seconds=1" in server.journal(SERVER)
    assert status(server.port, "/health/live") == 0
    assert server.systemctl("is-active", SERVER) == "inactive"


def test_killed_master_is_started_again(server: Server) -> None:
    server.sh(f"kill -9 {server.show(SERVER, 'MainPID')}")
    eventually(lambda: server.show(SERVER, "NRestarts") != "0", within=60, what="it was started again")
    server.ready()


def test_missing_secret_key_is_a_clear_line_and_given_up(server: Server) -> None:
    # Quicker than the unit, but not so quick that systemd's own limit (five in ten seconds) ends it.
    quick = "/run/systemd/system/pacsync-server.service.d"
    server.sh(
        f"mkdir -p {quick}; printf '[Service]\\nRestartSec=3s\\n' >{quick}/quick.conf; systemctl daemon-reload\n"
        "sed -i.good s/^SECRET_KEY=.*/SECRET_KEY=/ /etc/pacsync/server.env"
    )
    try:
        server.sh(f"systemctl restart {SERVER}", check=False)
        eventually(lambda: server.show(SERVER, "ActiveState") == "failed", within=150, what="it is given up")
        said = server.sh(f"journalctl --no-pager -o cat _SYSTEMD_INVOCATION_ID={server.show(SERVER, 'InvocationID')}")
        assert "SECRET_KEY is not set" in said
        assert "Traceback" not in said
    finally:
        server.sh(f"mv /etc/pacsync/server.env.good /etc/pacsync/server.env; rm -r {quick}; systemctl daemon-reload")


def test_copy_made_while_it_is_written_is_restored(server: Server) -> None:
    server.sh("pacsync-manage create_api_token kept")
    writing = threading.Thread(target=server.sh, args=("for i in 1 2 3; do pacsync-manage create_api_token w$i; done",))
    writing.start()
    server.sh(COPY)
    writing.join()
    server.sh("pacsync-manage create_api_token later")
    server.sh(RESTORE)
    server.ready()
    tokens = server.sh("pacsync-manage list_api_tokens")
    assert "kept" in tokens
    assert "later" not in tokens
