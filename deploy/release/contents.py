"""What is installed in an image, as JSON. The image's own Python runs it, so it uses only the standard library.

It must not know any format of lists of contents: that is sbom.py's.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

FIELDS = ("Package", "Version", "Architecture", "source:Package", "source:Version", "db:Status-Status")
WHEELS = Path(sys.prefix, "wheels.sha256")


def debian_packages() -> Iterator[dict[str, str]]:
    """The packages that dpkg has installed. FileNotFoundError without dpkg."""
    layout = "\t".join("${%s}" % field for field in FIELDS) + "\n"  # noqa: UP031 - braces are dpkg's here
    said = subprocess.run(["dpkg-query", "-W", "-f", layout], check=True, capture_output=True, text=True).stdout
    for line in said.splitlines():
        name, version, architecture, source, source_version, status = line.split("\t")
        if status == "installed":
            yield {
                "name": name,
                "version": version,
                "architecture": architecture,
                "source": source,
                "source_version": source_version,
            }


def folders() -> list[str]:
    """Where Python packages are that dpkg has not installed: of this environment, and of a Python in /usr/local."""
    return [*sys.path, *map(str, Path("/usr/local/lib").glob("python3*/*-packages"))]


def python_packages() -> Iterator[dict[str, object]]:
    """Each Python package once: of two in the same folder, the first is the one that is imported."""
    hashes = wheel_hashes()
    seen = set()
    for found in distributions(path=folders()):
        place = str(found.locate_file(""))
        if place.startswith("/usr/lib/") or (found.name, place) in seen:
            continue
        seen.add((found.name, place))
        yield {
            "name": found.name,
            "version": found.version,
            "license": license_of(found),
            "sha256": hashes.get((normal(found.name), found.version)),
            "libraries": list(libraries(found)),
        }


def normal(name: str) -> str:
    """A package's name as file names of wheels have it."""
    return name.lower().replace("-", "_").replace(".", "_")


def wheel_hashes() -> dict[tuple[str, str], str]:
    """The SHA-256 of the wheel from which each package was installed, by name and version; the build writes it down."""
    found = {}
    for line in WHEELS.read_text().splitlines():
        digest, file = line.split()
        name, version, *_ = file.split("-")
        found[normal(name), version] = digest
    return found


def license_of(found: Distribution) -> str:
    """An SPDX expression if the package has one, or else what it says; empty if it says nothing."""
    about = found.metadata
    named = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier", []) if text.startswith("License ::")]
    said = about.get("License-Expression") or " AND ".join(named) or about.get("License") or ""
    return said.splitlines()[0] if said else ""


def libraries(found: Distribution) -> Iterator[dict[str, str]]:
    """The C libraries inside the wheel, if the package names them itself (PEP 770)."""
    for file in found.files or ():
        if ".dist-info/sboms/" in str(file) and file.name.endswith(".json"):
            for one in json.loads(file.read_text()).get("components", ()):
                if one.get("purl") and not one["purl"].startswith("pkg:pypi/"):  # the package itself
                    yield {"name": one["name"], "version": one.get("version", ""), "purl": one["purl"]}


def interpreter() -> dict[str, object]:
    """The Python that runs this, and whether it is one of Debian's packages."""
    program = os.path.realpath(sys.executable)
    owner = subprocess.run(["dpkg-query", "-S", program], capture_output=True)
    return {"version": platform.python_version(), "of_debian": owner.returncode == 0}


if __name__ == "__main__":
    contents = {
        "system": platform.freedesktop_os_release(),
        "python": interpreter(),
        "debian_packages": list(debian_packages()),
        "python_packages": list(python_packages()),
    }
    json.dump(contents, sys.stdout)
