"""Containers with the real systemd as process 1. It must not know what its units are.

Each has a cgroup namespace and a cgroup2 of its own, so that it makes no difference which cgroups the engine uses.
That takes two capabilities and no seccomp filter; `--privileged` would ask for more, which nested engines haven't got.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.conftest import unavailable
from tests.deploy.engine import LABEL, RUN, docker, eventually, run

DOCKERFILE = r"""
FROM {base}
RUN apt-get update -q && apt-get install -yq --no-install-recommends systemd systemd-sysv dbus {packages} \
 && rm -rf /var/lib/apt/lists/* \
 && printf '#!/bin/sh\nmount -t cgroup2 cgroup2 /sys/fs/cgroup && exec /sbin/init\n' >/boot.sh && chmod 755 /boot.sh
STOPSIGNAL SIGRTMIN+3
CMD ["/boot.sh"]
"""
RIGHTS = (
    "--cap-add=SYS_ADMIN",
    "--cap-add=SYS_PTRACE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
)
MOUNTS = ("--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec")


@contextlib.contextmanager
def image(name: str, base: str, *, packages: str = "", more: str = "", files: tuple[Path, ...] = ()) -> Iterator[str]:
    """`base` with systemd, Debian packages, `more` lines of a Dockerfile and the files they copy. Skips when no Debian
    mirror answers; its layers stay in the builder's cache."""
    tag = f"pacsync-test-systemd-{name}:{RUN}"
    with tempfile.TemporaryDirectory() as context:
        for file in files:
            (Path(context) / file.name).write_bytes(file.read_bytes())
        (Path(context) / "Dockerfile").write_text(DOCKERFILE.format(base=base, packages=packages) + more)
        build = ("docker", "build", "--network=host", "--label", LABEL, "-t", tag, context)
        done = run(*build, check=False, timeout=600)
    if done.returncode:
        unavailable(f"an image with systemd can't be built here: {(done.stdout + done.stderr).strip()[-300:]}")
    yield tag
    run("docker", "rmi", "-f", "--no-prune", tag, check=False)


class SystemdMachine:
    """A container whose process 1 is systemd, booted."""

    def __init__(self, tag: str, *options: object) -> None:
        where = ("--cgroupns=private", "--label", LABEL, *RIGHTS, *MOUNTS)
        made = run("docker", "run", "-d", *where, *options, tag, check=False)
        self.container = made.stdout.strip()
        try:
            if made.returncode:
                unavailable(f"no container with the rights that systemd needs: {made.stderr.strip()[-300:]}")
            booted = lambda: self.systemctl("is-system-running") in ("running", "degraded")  # noqa: E731
            eventually(booted, within=60, what="systemd has booted")
        except BaseException:
            self.remove()
            raise

    def sh(self, script: str, *, check: bool = True, timeout: float = 120) -> str:
        """What a shell script of root's says, on both of its outputs."""
        done = run("docker", "exec", "-i", self.container, "bash", "-e", input=script, check=False, timeout=timeout)
        said = done.stdout + done.stderr
        assert not check or done.returncode == 0, f"{script}\nexit {done.returncode}\n{said[-4000:]}"
        return said.strip()

    def systemctl(self, *arguments: str) -> str:
        return self.sh(f"systemctl {' '.join(arguments)} 2>/dev/null", check=False)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit)

    def journal(self, *units: str) -> str:
        return self.sh("journalctl --no-pager -o cat " + " ".join(f"-u {unit}" for unit in units))

    def remove(self) -> None:
        if self.container:
            docker("rm", "-f", "-v", self.container)
