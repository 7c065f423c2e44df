"""What the kernel made of the restrictions in the compose files: capabilities, roots, limits, routes."""

import re

import pytest

from tests.deploy.engine import Stack, docker, run
from tests.deploy.scaled import SERVER

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("service", [SERVER, "haproxy", "postgres"])
def test_container_has_no_capability_and_a_root_that_nobody_writes_to(scaled: Stack, service: str) -> None:
    container = scaled.containers(service)[0]
    process = docker("exec", container, "cat", "/proc/1/status")
    assert re.search(r"^CapEff:\s+0+$", process, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", process, re.MULTILINE)
    assert not re.search(r"^Uid:\s+0\b", process, re.MULTILINE)
    refused = run("docker", "exec", "-u", "0", container, "touch", "/usr/new", check=False)
    assert "Read-only file system" in refused.stderr
    limits = docker("inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", container).split()
    assert all(int(limit) > 0 for limit in limits)


def test_database_has_no_way_out_and_haproxy_none_to_it(scaled: Stack) -> None:
    database, haproxy, server = (scaled.containers(name)[0] for name in ("postgres", "haproxy", SERVER))
    address = docker("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", haproxy)
    connect = ("timeout", 20, "bash", "-c", f"exec 3<>/dev/tcp/{address}/8080")
    assert run("docker", "exec", database, *connect, check=False).returncode != 0
    assert run("docker", "exec", haproxy, "getent", "hosts", "postgres", check=False).returncode != 0
    # The twin: an instance is in both networks.
    run("docker", "exec", server, *connect)
    run("docker", "exec", server, "getent", "hosts", "postgres")
