"""Writes what is in an image as CycloneDX JSON: python deploy/release/sbom.py IMAGE >sbom.cdx.json

It asks the image itself (contents.py), not the files that it was built from. It must not know how images are built.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

LABEL = "org.opencontainers.image."
LICENSES = LicenseFactory()


def main(image: str) -> None:
    about = json.loads(docker("image", "inspect", image))[0]
    labels = about["Config"]["Labels"] or {}
    terms = labels.get(f"{LABEL}licenses")
    root = Component(
        type=ComponentType.CONTAINER,
        name=labels.get(f"{LABEL}title", image),
        version=labels.get(f"{LABEL}version"),
        bom_ref=about["Id"],
        licenses=[LICENSES.make_from_string(terms)] if terms else [],
        properties=[Property(name=name, value=value) for name, value in labels.items() if name.startswith(LABEL)],
    )
    made = datetime.fromisoformat(labels.get(f"{LABEL}created") or about["Created"])
    bom = Bom(
        # The same image has the same list, byte for byte.
        serial_number=uuid5(NAMESPACE_URL, about["Id"]),
        metadata=BomMetaData(component=root, timestamp=made),
        components=components(json.loads(inside(image))),
    )
    bom.register_dependency(root, bom.components)
    print(JsonV1Dot6(bom).output_as_string(indent=2))


def docker(*arguments: str, **options: Any) -> str:
    """What docker prints. If it fails, the program ends; docker has then said why."""
    try:
        done = subprocess.run(["docker", *arguments], stdout=subprocess.PIPE, text=True, **options)
    except OSError as error:
        sys.exit(f"docker can't be run: {error.strerror}.")
    if done.returncode:
        sys.exit(f"`docker {arguments[0]}` failed; what it said is above.")
    return done.stdout


def inside(image: str) -> str:
    """What contents.py prints in a container of the image that can reach and change nothing."""
    contained = ("--rm", "-i", "--network=none", "--read-only", "--cap-drop=ALL", "--entrypoint=python")
    program = Path(__file__).with_name("contents.py").read_text()
    return docker("run", *contained, image, "-", input=program)


def components(found: dict[str, Any]) -> Iterator[Component]:
    system = found["system"]
    distribution = f"{system['ID']}-{system['VERSION_ID']}"
    yield Component(
        type=ComponentType.OPERATING_SYSTEM, name=system["ID"], version=system["VERSION_ID"], bom_ref=distribution
    )
    if not found["python"]["of_debian"]:
        yield interpreter(found["python"]["version"])
    for package in found["debian_packages"]:
        yield debian_package(package, system["ID"], distribution)
    for package in found["python_packages"]:
        yield python_package(package)
        yield from (library(one) for one in package["libraries"])


def interpreter(version: str) -> Component:
    return library(
        {"name": "python", "version": version, "purl": f"pkg:generic/python@{version}"},
        cpe=f"cpe:2.3:a:python:python:{version}:*:*:*:*:*:*:*",
    )


def debian_package(package: dict[str, str], system: str, distribution: str) -> Component:
    """Security advisories name the source package, so the identifier has it too."""
    qualifiers = {
        "arch": package["architecture"],
        "distro": distribution,
        "upstream": f"{package['source']}@{package['source_version']}",
    }
    where = PackageURL("deb", system, package["name"], package["version"], qualifiers)
    return Component(name=package["name"], version=package["version"], purl=where, bom_ref=str(where))


def python_package(package: dict[str, Any]) -> Component:
    where = PackageURL("pypi", None, package["name"], package["version"])
    digest, terms = package["sha256"], package["license"]
    return Component(
        name=package["name"],
        version=package["version"],
        purl=where,
        bom_ref=str(where),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else [],
        licenses=[LICENSES.make_from_string(terms)] if terms else [],
    )


def library(one: dict[str, str], *, cpe: str | None = None) -> Component:
    where = PackageURL.from_string(one["purl"])
    return Component(name=one["name"], version=one["version"], purl=where, bom_ref=str(where), cpe=cpe)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write what is in an image as CycloneDX JSON to standard output.")
    parser.add_argument("image", help="its name, like pacman-sync-utility:latest")
    main(parser.parse_args().image)
