"""The image as it is published: its labels, equal builds, what it no longer holds, the list of its contents."""

import json
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import engine
from tests.deploy.engine import ROOT, docker, run

pytestmark = pytest.mark.timeout(1800)


def inside(image: str, script: str) -> list[str]:
    """The lines that a shell prints in a container of the image, as root: root sees all files."""
    return docker("run", "--rm", "--user", "0", "--network", "none", "--entrypoint", "sh", image, "-c", script).split(
        "\n"
    )


def git(*arguments: str) -> str:
    return run("git", *arguments, cwd=ROOT).stdout.strip()


def build(name: str, *options: str) -> None:
    """`make image` under another name."""
    variables = engine.environment() | {"IMAGE": name, "IMAGE_SOURCE": "https://example.org/pacsync"}
    labels = ("--label", engine.LABEL)
    run(ROOT / "deploy/release/image.sh", *labels, *options, env=variables, cwd=ROOT, timeout=1500)


def layers(image: str) -> list[str]:
    return list(json.loads(docker("image", "inspect", image))[0]["RootFS"]["Layers"])


@pytest.fixture(scope="module")
def name(containers: None) -> Iterator[str]:
    name = f"pacsync-test-{secrets.token_hex(4)}"
    yield name
    run("docker", "rmi", "-f", "--no-prune", *docker("images", "-q", name).split(), check=False)


@pytest.fixture(scope="module")
def released(image: str, name: str) -> str:
    """The image that `make image` makes; its first layers are those of the other tests' image."""
    build(name)
    return f"{name}:latest"


def test_image_of_a_commit_has_labels_that_name_it(released: str, name: str) -> None:
    labels = json.loads(docker("image", "inspect", released))[0]["Config"]["Labels"]
    of_oci = {key.removeprefix("org.opencontainers.image."): value for key, value in labels.items()}
    [version] = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert of_oci["revision"] == git("rev-parse", "HEAD")
    assert of_oci["created"] == git("show", "-s", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd")
    assert of_oci["version"] == version
    assert of_oci["source"] == "https://example.org/pacsync"
    assert (of_oci["title"], of_oci["licenses"]) == ("pacman-sync-utility", "MIT")
    assert docker("image", "inspect", "-f", "{{.Id}}", f"{name}:{version}", f"{name}:latest").count("sha256") == 2


@pytest.mark.long
def test_two_builds_of_a_commit_have_equal_layers_but_for_deletions(released: str, name: str) -> None:
    first = docker("image", "inspect", "-f", "{{.Id}}", released)
    build(name, "--no-cache")
    before, after = layers(first), layers(released)
    assert len(before) == len(after)
    different = [number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    # Deleted files leave marks with the time of the build: in the layer before those of the packages and of the code.
    assert set(different) <= {len(before) - 3}
    docker("rmi", "--no-prune", first)  # nothing names it any more


def test_image_has_no_pip_and_nothing_that_changes_the_user(image: str) -> None:
    names = " -o ".join(f"-name '{pattern}'" for pattern in ("pip", "pip[0-9]*", "pip-*", "ensurepip*"))
    pip = rf"find / -xdev \( {names} \)"
    assert inside(image, f"{pip}; python -m pip --version >/dev/null 2>&1 && echo it runs; true") == [""]
    assert inside(image, "find / -xdev -type f -perm /6000") == [""]


def test_server_may_write_only_its_data_and_temporary_files(image: str) -> None:
    writable = "find / -xdev ! -type l -writable ! -path '/proc/*' ! -path '/dev/*' ! -path '/sys/*' 2>/dev/null; true"
    found = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", writable).split("\n")
    assert set(found) <= {"/app/data", "/tmp", "/var/tmp", "/run/lock", "/var/lock"}


def test_list_of_contents_is_what_is_in_the_image(image: str) -> None:
    listed = contents(image)
    debian = inside(image, 'dpkg -l | awk \'$1 == "ii" {sub(/:.*/, "", $2); print $2, $3}\'')
    python = inside(image, "cd /opt/venv/lib/python3*/site-packages && ls -d *.dist-info")
    assert listed["deb"] == {tuple(line.split()) for line in debian}
    assert listed["pypi"] == {(normal(name), version) for name, version in map(parts_of, python)}
    assert len(listed["pypi"]) > 15


def test_list_of_contents_names_wheels_that_the_lock_allows(image: str) -> None:
    text = (ROOT / "requirements.txt").read_text()
    allowed = {
        (normal(name), version): set(re.findall(r"sha256:([0-9a-f]{64})", hashes))
        for name, version, hashes in re.findall(r"^([\w.-]+)==([^\s;]+)((?:.*\\\n)+.*)", text, re.MULTILINE)
    }
    wheels = [part for part in components(image) if part.get("purl", "").startswith("pkg:pypi/")]
    for part in wheels:
        [digest] = part["hashes"]
        assert digest["alg"] == "SHA-256"
        assert digest["content"] in allowed[normal(part["name"]), part["version"]], part["name"]


def parts_of(folder: str) -> list[str]:
    return folder.removesuffix(".dist-info").split("-")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def components(image: str) -> list[dict[str, Any]]:
    return list(json.loads(sbom(image))["components"])


def contents(image: str) -> dict[str, set[tuple[str, ...]]]:
    """(name, version) of each package, by its kind."""
    found: dict[str, set[tuple[str, ...]]] = {"deb": set(), "pypi": set()}
    for part in components(image):
        kind = part.get("purl", "").removeprefix("pkg:").split("/")[0]
        if kind in found:
            found[kind].add((normal(part["name"]) if kind == "pypi" else part["name"], part["version"]))
    return found


@cache
def sbom(image: str) -> str:
    return run(sys.executable, ROOT / "deploy/release/sbom.py", image).stdout


def test_list_of_contents_without_an_image_or_docker_is_one_line(tmp_path: Path) -> None:
    program = ROOT / "deploy/release/sbom.py"
    (tmp_path / "nice").symlink_to(str(shutil.which("nice")))
    done = run(sys.executable, program, "nothing", check=False, env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stderr.strip()) == (1, "docker can't be run: No such file or directory.")
    done = run(sys.executable, program, check=False)
    assert done.returncode == 2 and "image" in done.stderr.splitlines()[-1]


def test_list_of_contents_of_an_image_is_always_the_same(image: str) -> None:
    assert sbom.__wrapped__(image) == sbom(image)
