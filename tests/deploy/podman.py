"""A podman inside a container: it runs the YAML of Kubernetes, without a cluster. Its pods share one network.

`podman kube play` makes pods of Deployments, with init containers, ConfigMaps, Secrets, security contexts, volumes and
limits. What it leaves to others is left to the test: probes (it would call curl in the image), preStop, services. It
must not know what is played.
"""

import json
import subprocess
from typing import Any

import pytest
import yaml

from tests.deploy import engine
from tests.deploy.conftest import unavailable
from tests.deploy.engine import LABEL, run
from tests.support.postgres import free_port

IMAGE = f"{engine.IMAGE}-podman"
# Debian trixie's podman, in an image that every container test has anyway. runc, for crun refuses mixed cgroups.
DOCKERFILE = """FROM python:3.13-slim-trixie
RUN apt-get update -q && apt-get install -yq --no-install-recommends \\
      podman runc conmon netavark aardvark-dns nftables iptables catatonit \\
 && rm -rf /var/lib/apt/lists/*
RUN printf '[containers]\\nlog_driver = "k8s-file"\\n[engine]\\ncgroup_manager = "cgroupfs"\\nruntime = "runc"\\n\
events_logger = "file"\\n' >/etc/containers/containers.conf
ENV PODMAN_IGNORE_CGROUPSV1_WARNING=1
"""
# What --privileged gives, except SYS_RESOURCE, which not every machine has to give; and cgroups that may be written.
PRIVILEGES = (
    "--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined", "--cgroupns=host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup",
)  # fmt: skip
NETWORK = "cluster"


class Podman:
    """Podman in a container of its own; `port` on loopback is port 8080 of the pod that is played with `published`."""

    def __init__(self, images: dict[str, str]) -> None:
        """Takes images of the engine along, each by its name there. Skips where podman can't be had or can't run."""
        built = run(
            "docker", "build", "--network=host", "--label", LABEL, "-t", IMAGE, "-", input=DOCKERFILE, check=False
        )
        if built.returncode:
            unavailable(f"the image with podman can't be built: {built.stderr.strip()[-300:]}")
        self.port = free_port()
        storage = ("-v", "/var/lib/containers", "--tmpfs", "/run")
        where = ("-p", f"127.0.0.1:{self.port}:8080", "--label", LABEL)
        made = run("docker", "run", "-d", *where, *storage, *PRIVILEGES, IMAGE, "sleep", "infinity", check=False)
        if made.returncode:
            pytest.skip(f"this engine gives podman not what it needs: {made.stderr.strip()[-300:]}")
        self.container = made.stdout.strip()
        for image, name in images.items():
            self._load(image, name)
        tried = self("run", "--rm", "--network=host", next(iter(images.values())), "true", check=False)
        if tried.returncode:
            self.remove()
            pytest.skip(f"podman can't run a container inside a container here: {tried.stderr.strip()[-300:]}")
        self("network", "create", NETWORK)

    def __call__(self, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        """`podman …`."""
        return run("docker", "exec", "-i", self.container, "podman", *arguments, **options)

    def _load(self, image: str, name: str) -> None:
        said = run("sh", "-c", 'docker save "$1" | docker exec -i "$2" podman load', "-", image, self.container).stdout
        self("tag", said.split()[-1], name)

    def play(self, *documents: dict[str, Any], published: bool = False) -> None:
        """Returns when the init containers have ended and the others run. AssertionError when podman refuses it."""
        ports = ("--publish", "8080:8080") if published else ()
        self("kube", "play", "--network", NETWORK, *ports, "-", input=yaml.safe_dump_all(documents))

    def down(self, *documents: dict[str, Any]) -> None:
        """Remove what was played, with its volumes."""
        self("kube", "down", "--force", "-", input=yaml.safe_dump_all(documents), check=False)

    def containers(self) -> dict[str, str]:
        """The states of all containers by their names."""
        found = json.loads(self("ps", "-a", "--format", "json").stdout)
        return {container["Names"][0]: container["State"] for container in found}

    def logs(self, container: str) -> str:
        done = self("logs", container, check=False)
        return done.stdout + done.stderr

    def exec(self, container: str, *command: object, check: bool = True) -> str:
        return self("exec", container, *command, check=check).stdout.strip()

    def remove(self) -> None:
        # The cgroups are the machine's: podman has to take its own away, and leaves the empty one that is above them.
        self("pod", "rm", "--all", "--force", "--time", "0", check=False)
        rest = ("/sys/fs/cgroup", "-depth", "-type", "d", "-path", "*/libpod_parent*", "-delete")
        run("docker", "exec", self.container, "find", *rest, check=False)
        run("docker", "rm", "-f", "-v", self.container, check=False)
        run("docker", "rmi", "-f", "--no-prune", IMAGE, check=False)
