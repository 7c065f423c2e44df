"""The project as a whole: migrations are complete, the version is one."""

import tomllib
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command


@pytest.mark.django_db
def test_migrations_models_unchanged_nothing_to_make() -> None:
    call_command("makemigrations", check=True, dry_run=True, stdout=StringIO())


def test_version_pyproject_is_the_packages() -> None:
    project = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["project"]
    assert project["version"] == settings.VERSION
