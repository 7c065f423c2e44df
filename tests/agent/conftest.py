"""Packages for the tests: one of a mirror, and those of a test's own. It must not know what they do with them."""

import os
from pathlib import Path

import pytest

from tests.support.pacman import Fleet, Package


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """`tool 1:2-1`, a real package with some 40 KB that don't compress."""
    content = {f"usr/share/tool/{number}": os.urandom(997) for number in range(40)}
    return Fleet(tmp_path_factory.mktemp("fleet")).package("tool", "1:2-1", files=content)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """Packages, repositories and machines of the test's own."""
    return Fleet(tmp_path)
