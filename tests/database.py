"""Chooses the database of a test run, before Django reads its settings (loaded by `-p tests.database`).

PACSYNC_TEST_DATABASE is `sqlite` (default) or `postgresql`; for the latter TEST_DATABASE_URL may name a server,
else one is started from the package that pip brings.
"""

import atexit
import os

os.environ.setdefault("SECRET_KEY", "only-for-tests")
os.environ.setdefault("ENVIRONMENT", "test")
os.environ.setdefault("STRUCTURED_LOGGING", "false")
KIND = os.environ.get("PACSYNC_TEST_DATABASE", "sqlite")

if KIND == "postgresql":
    url = os.environ.get("TEST_DATABASE_URL")
    if not url:
        from tests.support.postgres import Postgres

        server = Postgres()
        atexit.register(server.delete)
        server.start()
        url = server.url()
    os.environ["DATABASE_URL"] = url
elif KIND == "sqlite":
    os.environ.pop("DATABASE_URL", None)
else:
    raise SystemExit(f"PACSYNC_TEST_DATABASE must be sqlite or postgresql, not {KIND!r}")


def pytest_report_header() -> str:
    return f"database: {KIND}"
