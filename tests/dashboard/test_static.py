"""Static files: hashed names after `collectstatic`, plain pages without it."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.test import Client


@pytest.fixture
def hashed(settings: Any, tmp_path: Path) -> Path:
    """The storage of production, with an empty STATIC_ROOT of the test's own."""
    settings.STATIC_ROOT = tmp_path
    storage = {"BACKEND": "apps.dashboard.storage.HashedStaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": storage}
    return tmp_path


def test_collected_files_have_hashed_names_and_exist(hashed: Path) -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    for name in ("pacsync/pacsync.css", "pacsync/pacsync.js", "pacsync/favicon.svg", "admin/css/base.css"):
        url = staticfiles_storage.url(name)
        assert url != f"/static/{name}"
        assert (hashed / url.removeprefix("/static/")).is_file()
    assert list(hashed.glob("pacsync/pacsync.*.css.gz"))


@pytest.mark.parametrize("name", ["pacsync/pacsync.js", "health/health.js"])
def test_collected_modules_import_the_refresher_by_its_hashed_name(hashed: Path, name: str) -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    refresher = staticfiles_storage.url("pacsync/refresher.js").rpartition("/")[2]
    assert refresher in (hashed / staticfiles_storage.url(name).removeprefix("/static/")).read_text()


@pytest.mark.django_db
def test_uncollected_files_pages_are_shown_all_the_same(hashed: Path, client: Client) -> None:
    page = client.get("/login")
    assert page.status_code == 200
    assert 'href="/static/pacsync/pacsync.css"' in page.content.decode()
    assert client.get("/nothing").status_code == 404


@pytest.mark.django_db
def test_missing_file_with_a_hashed_name_is_kept_in_no_cache(client: Client) -> None:
    """During a rolling update, an instance of the other release may be asked for it."""
    answer = client.get("/static/pacsync/pacsync.0123456789ab.css")
    assert (answer.status_code, answer["Cache-Control"]) == (404, "no-store")
