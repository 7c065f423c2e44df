"""A release that can't serve is never ready: it ends at its start, with one line that names the cause.

Most are loaded as a worker loads them, without gunicorn; tests/e2e/test_broken_start.py starts some for real.
"""

from pathlib import Path

import pytest

from tests.support.release import Break, Release

NO_MODULE = "ModuleNotFoundError: No module named 'no_such_module'"
LOAD = "import pacsync.wsgi; print('loaded')"


def imports_what_is_not_there(path: str) -> Break:
    return lambda release: release.append(path, "\nimport no_such_module\n")


def replaces(path: str, old: str, new: str) -> Break:
    return lambda release: release.replace(path, old, new)


def appends(path: str, text: str) -> Break:
    return lambda release: release.append(path, text)


def removes(path: str) -> Break:
    return lambda release: release.remove(path)


def writes(path: str, text: str) -> Break:
    return lambda release: release.write(path, text)


IMPORTS = (
    "pacsync/urls.py",
    "apps/dashboard/views/endpoints/page.py",
    "apps/dashboard/requests/forms.py",
    "apps/dashboard/presentation/context_processor.py",
    "apps/dashboard/templatetags/pacsync.py",
    "apps/api/routes/pools/pools.py",
    "apps/api/routes/agent/answers.py",
    "apps/api/requests/middleware.py",
    "apps/health/detailed/page.py",
    "apps/health/wsgi.py",
    "apps/fleet/pool_manager.py",
    "apps/fleet/models/credentials.py",
    "apps/fleet/admin/credentials.py",
    "apps/fleet/chores.py",
    "apps/fleet/retention.py",
    "apps/fleet/migrations/0001_initial.py",
    "apps/lifecycle/wsgi/bulkhead.py",
    "apps/agent/views.py",
    "apps/agent/pacsync_agent/cli/main.py",
)
URLS = "apps/dashboard/urls.py"
FIRST = 'path("", overview.overview, name="overview"),'
PAGE = "apps/dashboard/templates/pacsync/login.html"
SETTINGS = "pacsync/settings.py"
MIGRATION = """from django.db import migrations

class Migration(migrations.Migration):
    dependencies = [("fleet", "{}")]
"""

OTHERS: dict[str, tuple[Break, str]] = {
    "a syntax error": (
        appends("apps/dashboard/views/pools/page.py", "\ndef f(:\n"),
        "apps/dashboard/views/pools/page.py, line ",
    ),
    "a name that is gone": (replaces(URLS, "endpoint_list.listing", "endpoint_list.gone"), "has no attribute 'gone'"),
    "a module forgotten in the image": (
        removes("apps/dashboard/presentation/audit_phrases.py"),
        "No module named 'apps.dashboard.presentation.audit_phrases'",
    ),
    "a package forgotten in the image": (
        replaces(SETTINGS, '    "apps.agent",', '    "apps.agent",\n    "no_such_package",'),
        "No module named 'no_such_package'",
    ),
    "ready() raises": (
        replaces("apps/fleet/apps.py", "chores.register()", "chores.regster()"),
        "no attribute 'regster'",
    ),
    "a view that is no function": (replaces(URLS, FIRST, 'path("", None),'), "view must be a callable"),
    "a pattern that is no pattern": (
        replaces(URLS, FIRST, '__import__("django.urls").urls.re_path("(", overview.overview),'),
        "is not a valid regular expression",
    ),
    "a converter that does not exist": (replaces(URLS, "pools/<name:name>/change", "pools/<nam:name>"), "'nam'"),
    "an error page's view that is gone": (
        replaces("pacsync/urls.py", "server_error.server_error", "server_error.gone"),
        "apps.dashboard.requests.server_error.gone",
    ),
    "a middleware that is gone": (
        replaces(SETTINGS, "apps.health.middleware.RouteMiddleware", "apps.health.middleware.Gone"),
        "Gone",
    ),
    "a context processor that is gone": (
        replaces("pacsync/pages.py", "context_processor.service", "context_processor.x"),
        '"x"',
    ),
    "a session engine that is gone": (appends(SETTINGS, '\nSESSION_ENGINE = "no_such_module"\n'), NO_MODULE),
    "a password validator that is gone": (
        replaces("pacsync/accounts.py", '"MinimumLengthValidator"', '"Gone"'),
        "Gone",
    ),
    "a login page that is gone": (appends(SETTINGS, 'LOGIN_URL = "gone"\n'), "'gone'"),
    "a setting without its type": (replaces(SETTINGS, "ROOT_URLCONF = ", "ROOT_URLCONF = 1 or "), "pacsync"),
    "a tag without its end": (appends(PAGE, "{% if x %}"), "login.html, line "),
    "a tag that is unknown": (appends(PAGE, "{% block x %}{% nothing %}{% endblock %}"), "'nothing'"),
    "a filter that is unknown": (appends(PAGE, "{% block x %}{{ a|nothing }}{% endblock %}"), "'nothing'"),
    "a tag library that is gone": (appends(PAGE, "{% load nothing %}"), "'nothing' is not a registered tag library"),
    "a template that another one extends is gone": (
        removes("apps/dashboard/templates/pacsync/frame.html"),
        "the template pacsync/frame.html, which does not exist",
    ),
    "a template that another one includes is gone": (
        removes("apps/dashboard/templates/pacsync/parts/pager.html"),
        "the template pacsync/parts/pager.html, which does not exist",
    ),
    "a template that a view names is gone": (
        removes("apps/dashboard/templates/pacsync/login.html"),
        "the template pacsync/login.html, which does not exist",
    ),
    "a link to a page that is gone": (replaces(URLS, 'name="codes"', 'name="cods"'), "the URL codes, which does not"),
    "a column without a migration": (
        replaces("apps/fleet/models/credentials.py", "    revoked = ", "    more = models.TextField()\n    revoked = "),
        "a model of fleet was changed without a migration",
    ),
    "a migration whose predecessor is gone": (
        writes("apps/fleet/migrations/0099_more.py", MIGRATION.format("0098_gone")),
        "0098_gone",
    ),
    "two last migrations": (
        lambda release: (
            [
                release.write(f"apps/fleet/migrations/009{number}_x.py", MIGRATION.format("0001_initial"))
                for number in (8, 9)
            ]
            and None
        ),
        "two last migrations",
    ),
    "an admin's column that is gone": (
        replaces("apps/fleet/admin/credentials.py", '"last_used"', '"gone"'),
        "admin.E108",
    ),
}


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return Release(tmp_path / "release")


def fails_with(release: Release, cause: str, **env: object) -> None:
    done = release.run("-c", LOAD, **env)
    said = [line for line in (done.stdout + done.stderr).splitlines() if "this release can't serve" in line]
    assert done.returncode == 3, done.stdout + done.stderr
    assert said, done.stdout + done.stderr
    assert cause in said[0], said[0]


def test_load_intact_release_is_loaded(release: Release) -> None:
    done = release.run("-c", LOAD)
    assert (done.returncode, done.stdout) == (0, "loaded\n"), done.stderr


@pytest.mark.parametrize("path", IMPORTS)
def test_load_import_that_fails_ends_the_start(release: Release, path: str) -> None:
    imports_what_is_not_there(path)(release)
    fails_with(release, f"{path}, line ")


@pytest.mark.parametrize("name", OTHERS)
def test_load_broken_release_ends_the_start(release: Release, name: str) -> None:
    broken, cause = OTHERS[name]
    broken(release)
    fails_with(release, cause)


def test_load_backend_that_cannot_be_imported_ends_the_start(release: Release) -> None:
    imports_what_is_not_there("apps/lifecycle/dbpool/postgresql/dbpool.py")(release)
    fails_with(release, NO_MODULE, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")


def test_load_static_files_not_collected_is_a_warning_in_production(release: Release) -> None:
    done = release.run("-c", LOAD, ENVIRONMENT="production")
    assert done.returncode == 0 and "run `python manage.py collectstatic`" in done.stdout + done.stderr, done


def test_load_static_file_that_is_gone_ends_the_start_in_production(release: Release) -> None:
    assert release.run("manage.py", "collectstatic", "--noinput", ENVIRONMENT="production").returncode == 0
    assert release.run("-c", LOAD, ENVIRONMENT="production").returncode == 0
    release.replace("apps/dashboard/templates/pacsync/frame.html", "pacsync/pacsync.css", "pacsync/gone.css")
    fails_with(release, "the static file pacsync/gone.css, which was not collected", ENVIRONMENT="production")


def test_commands_broken_release_is_told_and_migrates_nothing(release: Release) -> None:
    imports_what_is_not_there("apps/dashboard/views/endpoints/page.py")(release)
    for code, *command in (
        (3, "manage.py", "check"),
        (1, "manage.py", "healthcheck"),
        (3, "deploy/database.py", "migrate"),
    ):
        done = release.run(*command)
        said = done.stdout + done.stderr
        assert (done.returncode, said.count("\n")) == (code, 1), said
        assert f"apps/dashboard/views/endpoints/page.py, line 100: {NO_MODULE}"[:33] in said
    assert not (release.root / "nothing.sqlite3").exists()
