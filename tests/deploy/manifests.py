"""The Kubernetes manifests as documents. It must not know what should be in them."""

import functools
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.engine import ROOT, run

KUBERNETES = ROOT / "deploy" / "kubernetes"


@functools.cache
def client_version() -> str:
    return run("kubectl", "version", "--client", "-o", "json").stdout


def skip_with_old_kubectl() -> None:
    if re.search(r'"minor": "(1?\d|20)\+?"', client_version()):
        pytest.skip("overlays and components need kubectl 1.21 or newer; Debian's is of 2020")


def render(name: str) -> list[dict[str, Any]]:
    """The documents of the single file, or of a kustomization as kubectl renders it."""
    path = KUBERNETES / name
    if name.startswith("overlays/"):
        skip_with_old_kubectl()
    text = path.read_text() if path.is_file() else run("kubectl", "kustomize", path).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def assembled(*components: str) -> list[dict[str, Any]]:
    """The documents of the base with these components, as a kustomization of the user's renders them."""
    skip_with_old_kubectl()
    with tempfile.TemporaryDirectory() as folder:
        base, *named = (
            os.path.relpath(KUBERNETES / name, folder)
            for name in ("base", *(f"components/{name}" for name in components))
        )
        lines = ("kind: Kustomization", f"resources: [{base}]", f"components: [{', '.join(named)}]")
        Path(folder, "kustomization.yaml").write_text("\n".join(lines))
        return list(yaml.safe_load_all(run("kubectl", "kustomize", folder).stdout))


def only(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = [document for document in documents if document["kind"] == kind]
    return found
