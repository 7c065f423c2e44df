"""The rule for tests that need a container engine, and the images that they share.

The static tests in this folder need none of it.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import engine
from tests.deploy.engine import SCALED, Stack, docker, stack
from tests.deploy.manifests import render
from tests.deploy.scaled import SERVER, enrolled, enrolment_code, scale

Figures = Callable[[str], None]
BASE_IMAGES = ("python:3.13-slim-trixie", "postgres:17", "haproxy:3.0")


def unavailable(reason: str) -> None:
    """Skip, or fail with PACSYNC_REQUIRE_ALL=1."""
    if os.environ.get("PACSYNC_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def require_images(*images: str) -> None:
    """Skip with a clear line when the engine hasn't got these images and can't fetch them."""
    absent = [image for image in engine.missing(*images) if engine.run("docker", "pull", image, check=False).returncode]
    if absent:
        unavailable(f"images that this engine has not and can't pull: {' '.join(absent)}")


@pytest.fixture
def figures(capsys: pytest.CaptureFixture[str]) -> Figures:
    """Prints what was measured, even if the test passes."""

    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}")

    return show


@pytest.fixture(scope="session")
def containers() -> Iterator[None]:
    """A running engine with the public base images; removes at the end what still carries our label.

    Whoever sets PACSYNC_NO_ENGINE looked, and says there why this machine has none: that is a skip in any case.
    """
    if os.environ.get("PACSYNC_NO_ENGINE"):
        pytest.skip(f"no containers here: {os.environ['PACSYNC_NO_ENGINE']}")
    reason = engine.problem()
    if reason:
        unavailable(reason)
    require_images(*BASE_IMAGES)
    yield
    # Containers first: what they use can't be removed before them.
    for listing, remove in (
        (("ps", "-aq"), ("rm", "-f", "-v")),
        (("volume", "ls", "-q"), ("volume", "rm", "-f")),
        (("network", "ls", "-q"), ("network", "rm")),
    ):
        for name in engine.docker(*listing, "--filter", f"label={engine.LABEL}").split():
            engine.run("docker", *remove, name, check=False)


@pytest.fixture(scope="session")
def agent_package() -> Iterator[Path]:
    """The agent's package. makepkg refuses root, so nobody builds it then, in a copy of the checkout."""
    place = Path(tempfile.mkdtemp(prefix="pacsync-test-arch-"))
    place.chmod(0o755)  # pytest's own folders are closed to nobody
    checkout = place / "checkout"
    keep_out = shutil.ignore_patterns("__pycache__", "*.pkg.tar*", "src", "pkg")
    for name in ("apps", "deploy"):
        shutil.copytree(engine.ROOT / name, checkout / name, ignore=keep_out)
    shutil.copy(engine.ROOT / "LICENSE", checkout)
    as_nobody: dict[str, object] = {}
    if os.geteuid() == 0:
        engine.run("chown", "-R", "nobody", checkout)
        as_nobody = {"user": "nobody"}
    environment = {"PATH": os.environ["PATH"], "HOME": str(checkout), "PKGEXT": ".pkg.tar.zst", "LC_ALL": "C"}
    engine.run("makepkg", "--nodeps", "--nosign", "--force", cwd=checkout / "deploy/arch", env=environment, **as_nobody)
    (built,) = (checkout / "deploy" / "arch").glob("*.pkg.tar.zst")
    yield built
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def image(containers: None) -> Iterator[str]:
    """The production image, built from this checkout. Its layers stay in the builder's cache."""
    engine.build("production", engine.IMAGE)
    yield engine.IMAGE
    engine.run("docker", "rmi", "-f", "--no-prune", engine.IMAGE, check=False)


@pytest.fixture(scope="session")
def development_image(containers: None) -> Iterator[str]:
    """The development image, built from this checkout."""
    engine.build("development", engine.DEV_IMAGE)
    yield engine.DEV_IMAGE
    engine.run("docker", "rmi", "-f", "--no-prune", engine.DEV_IMAGE, check=False)


@pytest.fixture(scope="session")
def scaled(image: str) -> Iterator[Stack]:
    """The scaled stack with three instances, as documented; for the whole run."""
    with stack(*SCALED) as project:
        project.compose("up", "-d", "--no-build", "--scale", f"{SERVER}=3", SERVER, "haproxy", "postgres")
        project.ready()
        scale(project, 3)
        # What is measured is who answers, not the disk: while containers are made, a commit may take seconds.
        for statement in ("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()"):
            docker("exec", project.containers("postgres")[0], "psql", "-qU", "pacsync", "-c", statement)
        yield project


@pytest.fixture
def three(scaled: Stack) -> Iterator[Stack]:
    """The scaled stack, with three ready instances before and after the test."""
    yield scaled
    for container in scaled.containers(SERVER, running=False):
        docker("start", container)
    scale(scaled, 3)


@pytest.fixture(scope="session")
def tokens(scaled: Stack) -> list[str]:
    """The tokens of thirty enrolled endpoints whose state the server knows."""
    code = enrolment_code(scaled, 30)
    return [enrolled(scaled.port, code, f"load-{number}") for number in range(30)]


@pytest.fixture
def documents() -> list[dict[str, Any]]:
    """The Kubernetes manifests of the single file."""
    return render("deployment.yaml")
