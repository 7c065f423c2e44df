"""The migrations to roles: nobody loses a right, and tokens that are there keep working."""

import json
from collections.abc import Callable
from typing import Any

from tests.e2e.test_migrating_targets import database, migrate
from tests.support.server import manage

__all__ = ["database"]
BEFORE = "0020"
ACCOUNTS = {"ada": (True, True), "ann": (False, True), "vic": (False, False)}
"""Before: whether each is a superuser, and staff."""
ACCOUNT = (
    "INSERT INTO auth_user (username, password, first_name, last_name, email, is_superuser, is_staff, is_active,"
    " date_joined) VALUES ('{name}', '', '', '', '', {superuser}, {staff}, {{true}}, '2026-01-15 10:30:00+00:00')"
)
TOKEN = "INSERT INTO fleet_apitoken (name, token_hash, role) VALUES ('ci', 'h', 'operator')"


def told(url: str, command: str) -> Any:
    done = manage(url, command, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_migrations_accounts_keep_their_rights_and_tokens_go_on(database: tuple[str, Callable[..., list[Any]]]) -> None:
    url, ask = database
    migrate(url)
    migrate(url, "fleet", BEFORE)
    ask("DELETE FROM auth_group_permissions")
    ask("DELETE FROM auth_group")
    for name, flags in ACCOUNTS.items():
        superuser, staff = ("{true}" if flag else "{false}" for flag in flags)
        ask(ACCOUNT.format(name=name, superuser=superuser, staff=staff))
    ask(TOKEN)
    migrate(url)
    held = {one["user"]: one["role"] for one in told(url, "roles")["accounts"]}
    assert held == {"ada": "administrator", "ann": "operator", "vic": "viewer"}
    (token,) = told(url, "list_api_tokens")["tokens"]
    assert (token["owner"], token["role_now"], token["expires"], token["status"]) == (None, "operator", None, "active")
