"""The management commands for the first ways in: what they print, and one clear line when they can't."""

import json
import re
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from apps.fleet import enrolment, roles
from apps.fleet.models import ApiToken, AuditEvent, Endpoint, EnrolmentCode, Pool, Role
from tests import factories
from tests.api.commands import said
from tests.api.support import Api, ApiMachine
from tests.support.server import manage

pytestmark = pytest.mark.usefixtures("kept_connection")


@pytest.mark.django_db
def test_create_api_token_prints_only_a_token_that_works() -> None:
    token = said("create_api_token", "ann", "--role", "operator").strip()
    assert token.startswith("pst_") and len(token.split()) == 1
    Api(token).post("/pools", {"name": "lab"}).ok(201)
    assert AuditEvent.objects.filter(actor="console").exists()


@pytest.mark.django_db
def test_create_api_token_default_role_may_only_read() -> None:
    Api(said("create_api_token", "ann").strip()).post("/pools", {"name": "lab"}).refused(403, "forbidden")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["a/b", "", "a b", "\u00e4"])
def test_create_api_token_name_that_is_none_one_line(name: str) -> None:
    with pytest.raises(CommandError, match="A name has"):
        said("create_api_token", name)
    assert not ApiToken.objects.exists()


@pytest.mark.django_db
def test_create_api_token_name_that_exists_one_line() -> None:
    said("create_api_token", "ann")
    with pytest.raises(CommandError, match="ann"):
        said("create_api_token", "ann")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "days"),
    [([], 90), (["--expires", "1"], 1), (["--expires", "3650"], 3650), (["--expires", "never"], None)],
)
def test_create_api_token_expires_after_90_days_or_as_told(arguments: list[str], days: int | None) -> None:
    said("create_api_token", "ann", *arguments)
    token = ApiToken.objects.get()
    assert (round((token.expires - token.created) / timedelta(days=1)) if token.expires else None) == days


@pytest.mark.django_db
@pytest.mark.parametrize("days", ["0", "-1", "3651", "1.5", "soon", "", "\u00b2", "9" * 5000])
def test_create_api_token_expiry_that_makes_no_sense_makes_none(days: str) -> None:
    with pytest.raises(CommandError, match="is neither a number of days from 1 to 3650 nor never"):
        said("create_api_token", "ann", f"--expires={days}")
    assert not ApiToken.objects.exists()


@pytest.mark.django_db
def test_create_api_token_with_an_owner_who_may_do_as_much() -> None:
    factories.account("ann", Role.OPERATOR)
    made = json.loads(said("create_api_token", "ci", "--owner", "ann", "--role", "operator", "--format", "json"))
    assert (made["owner"], made["role"]) == ("ann", "operator") and made["expires"]
    Api(made["token"]).post("/pools", {"name": "lab"}).ok(201)
    with pytest.raises(CommandError, match="ann has the role operator, and a token may do no more than its owner"):
        said("create_api_token", "more", "--owner", "ann", "--role", "administrator")
    for nobody in ("bert", "", "\0"):
        with pytest.raises(CommandError, match="There is no account"):
            said("create_api_token", "other", "--owner", nobody)


@pytest.mark.django_db
def test_create_api_token_says_whose_it_is_and_until_when_to_people_only() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    ann, told = factories.account("ann", Role.VIEWER), []
    for number, arguments in enumerate(([], ["--owner", "ann", "--expires", "never"])):
        for out in (Terminal(), StringIO()):
            errors = StringIO()
            call_command("create_api_token", f"t{number}-{out.isatty()}", *arguments, stdout=out, stderr=errors)
            told.append(errors.getvalue())
    assert told[0].startswith("It has no owner (--owner USER) and expires at ") and told[0].endswith(
        "(--expires DAYS).\n"
    )
    assert told[1:] == ["", "It belongs to ann and never expires.\n", ""] and ann.pk


@pytest.mark.django_db
def test_list_api_tokens_says_whose_they_are_and_what_they_are_good_for() -> None:
    ann = factories.account("ann", Role.OPERATOR)
    said("create_api_token", "ci", "--owner", "ann", "--role", "operator", "--expires", "7")
    said("create_api_token", "old", "--expires", "never")
    roles.give(user=ann, role=Role.VIEWER, actor="test")
    header, ci, old = said("list_api_tokens").splitlines()
    assert re.split("  +", header)[:5] == ["NAME", "ROLE", "OWNER", "STATUS", "CREATED (UTC)"]
    assert re.split("  +", header)[5:] == ["EXPIRES", "LAST USED", "REVOKED"]
    assert ci.split()[:7] == ["ci", "operator", "(now", "viewer)", "ann", "expires", "soon"]
    assert old.split()[:5] == ["old", "viewer", "no", "owner", "active"] and " never " in old
    first, second = json.loads(said("list_api_tokens", "--format", "json"))["tokens"]
    assert (first["owner"], first["role_now"], first["status"]) == ("ann", "viewer", "expires_soon")
    assert (second["owner"], second["expires"], second["status"]) == (None, None, "active")


@pytest.mark.django_db
def test_roles_lists_accounts_and_gives_and_takes_a_role() -> None:
    factories.account("ann", None)
    factories.account("bert", Role.VIEWER)
    User.objects.create_superuser("ada")
    assert [line.split() for line in said("roles").splitlines()] == [
        ["USER", "ROLE", "ACTIVE"],
        ["ada", "administrator", "yes"],
        ["ann", "none", "yes"],
        ["bert", "viewer", "yes"],
    ]
    said("roles", "ann", "operator")
    assert json.loads(said("roles", "ann", "--format", "json")) == {
        "accounts": [{"user": "ann", "role": "operator", "active": True}]
    }
    event = AuditEvent.objects.get(verb="change_role", actor="console")
    assert (event.object, event.before, event.after) == ("user:ann", {"role": None}, {"role": "operator"})
    assert json.loads(said("roles", "bert", "none", "--format", "json")) == {"user": "bert", "role": None}
    assert said("roles", "bert").splitlines()[1].split() == ["bert", "none", "yes"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nobody", "viewer"], "There is no account 'nobody'"),
        (["ada", "viewer"], "ada is a superuser, who is always an administrator"),
        (["ada", "root"], "invalid choice: 'root'"),
    ],
)
def test_roles_that_can_t_be_given_one_line(arguments: list[str], why: str) -> None:
    User.objects.create_superuser("ada")
    with pytest.raises(CommandError, match=why):
        said("roles", *arguments)
    assert not AuditEvent.objects.exists()


@pytest.mark.django_db
def test_list_and_revoke_api_token() -> None:
    token = Api(said("create_api_token", "ann").strip())
    token.get("/pools").ok()
    header, line = said("list_api_tokens").splitlines()
    assert header.split()[:2] == ["NAME", "ROLE"] and line.split()[:2] == ["ann", "viewer"] and line.endswith("-")
    said("revoke_api_token", "ann")
    token.get("/pools").refused(401, "token_invalid")
    assert not said("list_api_tokens").splitlines()[1].endswith("-")
    with pytest.raises(CommandError, match="no API token"):
        said("revoke_api_token", "none")


@pytest.mark.django_db
def test_create_enrolment_code_prints_only_a_code_that_works(pool: Pool) -> None:
    code = said("create_enrolment_code", "--pool", "lab", "--uses", "2", "--valid-hours", "1").strip()
    body = Api().post("/enroll", {"code": code, "name": "m1", "arch": "x86_64"}).ok(201)
    assert body["pool"] == "lab" and EnrolmentCode.objects.get().uses == 2


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["https://pacsync.example:8443/", "http://10.1.2.3:8080", "http://[fd00::1]:8080"])
def test_create_enrolment_code_with_the_server_prints_the_line(pool: Pool, url: str) -> None:
    line = said("create_enrolment_code", "--pool", "lab", "--server", url).strip()
    code = line.rpartition("--code ")[2].rstrip("'")
    assert line == enrolment.command(url.rstrip("/"), code)
    told = json.loads(said("create_enrolment_code", "--server", url, "--format", "json"))
    assert told["line"] == enrolment.command(url.rstrip("/"), told["code"])
    Api().post("/enroll", {"code": code, "name": "m1", "arch": "x86_64"}).ok(201)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url", ["", "pacsync.example", "https://x'; rm -rf /", "ftp://x", "http://x/path", "http://-x"]
)
def test_create_enrolment_code_with_no_address_of_a_server_makes_none(url: str) -> None:
    with pytest.raises(CommandError, match="is not the address of a server"):
        said("create_enrolment_code", "--server", url)
    assert not EnrolmentCode.objects.exists()


@pytest.mark.django_db
def test_create_enrolment_code_says_where_the_line_is_to_people_only() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    for out, hinted in ((Terminal(), True), (StringIO(), False)):
        errors = StringIO()
        call_command("create_enrolment_code", stdout=out, stderr=errors)
        assert out.getvalue().startswith("psc_") and ("--server URL" in errors.getvalue()) is hinted


@pytest.mark.django_db
def test_create_enrolment_code_for_no_pool_says_how_to_make_it() -> None:
    with pytest.raises(
        CommandError, match=r"no pool 'nosuch'\. Create it on the dashboard, or with POST /api/v1/pools"
    ):
        said("create_enrolment_code", "--pool", "nosuch")


@pytest.mark.django_db
@pytest.mark.parametrize("may", [False, True])
def test_create_enrolment_code_right_to_set_targets_only_where_asked_for(pool: Pool, may: bool) -> None:
    code = said("create_enrolment_code", "--pool", "lab", *(["--may-set-targets"] if may else [])).strip()
    Api().post("/enroll", {"code": code, "name": "m1", "arch": "x86_64"}).ok(201)
    assert Endpoint.objects.get().may_set_targets is may


@pytest.mark.django_db
def test_confirm_target_lists_paused_pools_and_confirms_one_or_all(pool: Pool) -> None:
    assert "No pool has automatic sync paused." in said("confirm_target")
    Pool.objects.create(name="quiet")
    for name in ("m1", "m2"):
        machine = ApiMachine(name, pool)
        machine.report("linux 1-1", revision_seen={"number": 7, "digest": "f" * 64})
    assert said("confirm_target") == "lab: no target here; endpoint m1 has seen #7.\n"
    assert "not paused" in said("confirm_target", "quiet")
    assert said("confirm_target", "--all") == "lab: confirmed, no target.\n"
    assert "not paused" in said("confirm_target", "lab")
    for wrong in (["none"], ["lab", "--all"]):
        with pytest.raises(CommandError):
            said("confirm_target", *wrong)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "arguments",
    [
        ["--pool", "none"],
        ["--uses", "0"],
        ["--uses", "99999"],
        ["--valid-hours", "0"],
        ["--valid-hours", "9999999999999"],
    ],
)
def test_create_enrolment_code_that_makes_no_sense_one_line(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        said("create_enrolment_code", *arguments)
    assert not EnrolmentCode.objects.exists()


COMMANDS: list[Any] = [
    ("create_api_token", "ann"),
    ("list_api_tokens",),
    ("roles",),
    ("revoke_api_token", "ann"),
    ("create_enrolment_code",),
    ("confirm_target",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_command_on_a_database_that_is_not_migrated_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    done = manage(f"sqlite:///{tmp_path}/empty.sqlite3", *command)
    assert done.returncode == 1 and done.stdout == ""
    assert "manage.py migrate" in done.stderr and "Traceback" not in done.stderr


def test_command_without_a_database_one_line() -> None:
    done = manage("postgresql://postgres@127.0.0.1:1/none", "create_api_token", "ann")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "The database can't be used" in done.stderr
