"""Fixtures for all tests, and the rule for programs that a test runs for real."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import hypothesis
import pytest
from django.conf import settings

from tests.support.isolation import run_folder, worker
from tests.support.postgres import Postgres, running_postgres

# A busy computer is no fault of an example.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")

# What to install on Debian for each program that a test may need.
PACKAGES = {
    "pacman": "pacman-package-manager",
    "vercmp": "pacman-package-manager",
    "makepkg": "makepkg",
    "bsdtar": "libarchive-tools",
    "bash-static": "bash-static",
    "gpg": "gpg",
    "openssl": "openssl",
    "curl": "curl",
    "pacman-key": "pacman-package-manager",
    "zstd": "zstd",
    "haproxy": "haproxy",
    "microsocks": "microsocks",
    "pgbouncer": "pgbouncer",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "wrk": "wrk",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "shellcheck": "shellcheck",
    "zsh": "zsh",
    "fish": "fish",
    "groff": "groff",
    "fakeroot": "fakeroot",
    "kubectl": "kubernetes-client",
    "systemd-analyze": "systemd",
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose programs are missing, saying what to install; PACSYNC_REQUIRE_ALL=1 makes that a failure."""
    programs = [program for mark in item.iter_markers("needs") for program in mark.args]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    missing = [program for program in programs if shutil.which(program, path=path) is None]
    if missing:
        text = "apt-get install " + " ".join(PACKAGES[program] for program in missing)
        if os.environ.get("PACSYNC_REQUIRE_ALL") == "1":
            pytest.fail(f"missing programs: {text}")
        pytest.skip(text)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """A database for each worker. SQLite tests use a file: in memory there is no WAL, and threads share nothing."""
    if settings.DATABASE_TYPE == "sqlite":
        settings.DATABASES["default"]["TEST"]["NAME"] = str(run_folder() / f"test-{worker()}.sqlite3")


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    """What the process counts and remembers of requests and comparisons doesn't go from one test to the next."""
    from apps.fleet import checksums, status
    from apps.lifecycle.wsgi import address_rates

    address_rates.forget()
    checksums.forget()
    status.forget()


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, which it may freeze, stop and restart."""
    with running_postgres() as server:
        yield server


def run(*command: object, **options: object) -> str:
    """Run a program; its standard output. AssertionError with all that it said when it fails."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)
