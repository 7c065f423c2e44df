"""The management commands that only tell: as text, and as one JSON document that says the same as the API."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class

from apps.api.schemas.fleet import fleet_out
from apps.fleet import clock, retention, sync_coordinator
from apps.fleet.models import ApiToken, Endpoint, EndpointState, Operation, State
from apps.lifecycle.management.output import TellingCommand, table
from tests import factories
from tests.api.commands import document, said
from tests.support.server import manage

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kept_connection")]
COMMANDS = ("fleet", "endpoints", "operations", "packages", "analysis", "prune", "vulnerabilities")


def test_every_command_of_access_and_fleet_has_an_example_and_json() -> None:
    own = {name: app for name, app in get_commands().items() if app == "apps.api"}
    assert set(COMMANDS) < set(own)
    for name, app in own.items():
        command = load_command_class(app, name)
        assert isinstance(command, TellingCommand) and command.example, name
        help_text = command.create_parser("manage.py", name).format_help()
        assert f"python manage.py {name} {command.example}" in " ".join(help_text.split()), name
        assert "--format {text,json}" in help_text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("endpoints", "nobody"), "no endpoint 'nobody'"),
        (("endpoints", "\0"), "no endpoint"),
        (("endpoints", "--packages"), "name it"),
        (("endpoints", "m1", "--pool", "web"), "leave NAME out"),
        (("endpoints", "--pool", "nowhere"), "no pool 'nowhere'"),
        (("endpoints", "m1", "--since", "monday"), "must be a date like 2026-01-15"),
        (("endpoints", "m1", "--reverse"), "leave NAME out"),
        (("operations", "--pool", "nowhere"), "no pool 'nowhere'"),
        (("operations", "--endpoint", "nobody"), "no endpoint 'nobody'"),
        (("operations", "--last", "0"), "--last must be"),
        (("operations", "--status", "broken"), "invalid choice"),
        (("analysis", "nowhere"), "no pool 'nowhere'"),
    ],
)
def test_commands_refuse_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        said(*arguments)


def test_operations_newest_first_with_the_cause_of_a_failure() -> None:
    failed = factories.applying()
    sync_coordinator.finish(
        operation_id=failed.pk,
        endpoint=failed.endpoint,
        lease_token=failed.lease_token,  # type: ignore[arg-type]
        outcome="failed",
        seq=99,
        state=failed.base_state_id,
        code="package_unavailable",
        message="Nobody has openssl.\nAnd more.",
    )
    queued = factories.queued()
    assert [one["id"] for one in document("operations")["operations"]] == [str(queued.pk), str(failed.pk)]
    assert len(document("operations", "--last", "1")["operations"]) == 1
    (found,) = document("operations", "--status", "failed")["operations"]
    assert found["result"]["code"] == "package_unavailable"
    assert found["endpoint"] == failed.endpoint.name
    assert document("operations", "--endpoint", queued.endpoint.name)["operations"][0]["status"] == "queued"
    text = said("operations", "--status", "failed")
    assert "package_unavailable: Nobody has openssl." in text and "And more" not in text


def test_analysis_says_what_endpoints_would_get_in_different_versions() -> None:
    pool = factories.pool("web")
    factories.target(pool, "app 2.0-1")
    factories.reporting_endpoint("m1", pool=pool, state=factories.state("app 1.0-1"))
    found = document("analysis", "web")
    assert [one["name"] for one in found["conflicts"]] == ["app"]
    assert "In different versions: app" in said("analysis", "web")
    assert (
        "The repositories of m1 have 0 packages of target #1 in exactly that version; in another version: app"
        in said("analysis", "web")
    )


def test_prune_dry_run_counts_what_prune_then_removes() -> None:
    made = factories.reporting_endpoint("m1", pool=factories.pool(retention=1), state=factories.state("app 1-1"))
    for version in range(2, 6):
        factories.report(made, factories.state(f"app {version}-1"))
    State.objects.update(created=clock.now().replace(year=2020))
    counted = document("prune", "--dry-run")
    assert counted == {"dry_run": True, "rows": counted["rows"]}
    assert counted["rows"]["history"] == 4
    assert EndpointState.objects.count() == 5, "a dry run removes nothing"
    removed = document("prune")["rows"]
    assert removed["history"] == 4
    assert removed["states"] == removed["versions"] == 4
    assert EndpointState.objects.count() == State.objects.count() == 1
    assert said("prune", "--dry-run") == said("prune") == "There is nothing to remove.\n"


def test_prune_and_analysis_count_one_as_one() -> None:
    factories.state("app 1-1")
    State.objects.update(created=clock.now().replace(year=2020))
    lines = said("prune", "--dry-run").splitlines()
    assert "1 state that nothing refers to could be removed" in lines
    pool = factories.pool("web")
    factories.reporting_endpoint("m1", pool=pool, state=factories.state("app 1-1"))
    assert said("analysis", "web").splitlines()[:2] == [
        "1 endpoint of web has reported repositories; not yet: none",
        "1 package is offered to all of them.",
    ]


def test_operations_oldest_first() -> None:
    first, second = factories.queued(), factories.queued()
    listed = [one["id"] for one in document("operations", "--reverse")["operations"]]
    assert listed == [str(first.pk), str(second.pk)]
    assert [one["id"] for one in document("operations")["operations"]] == listed[::-1]


def test_prune_works_where_the_chore_is_off(settings: Any) -> None:
    settings.AUTO_CLEANUP_OLD_STATES = False
    factories.state("app 1-1")
    State.objects.update(created=clock.now().replace(year=2020))
    assert retention.clean() == {}
    assert document("prune")["rows"]["states"] == 1


def test_commands_of_access_print_one_document() -> None:
    made = document("create_api_token", "ann", "--role", "operator")
    assert made["token"].startswith("pst_") and made["role"] == "operator"
    assert document("create_enrolment_code", "--uses", "3")["uses"] == 3
    assert [one["name"] for one in document("list_api_tokens")["tokens"]] == ["ann"]
    assert document("revoke_api_token", "ann") == {"name": "ann", "revoked": True}
    assert ApiToken.objects.get().revoked
    assert document("confirm_target") == {"pools": [], "confirmed": False}


def test_commands_tell_an_empty_fleet() -> None:
    assert not Endpoint.objects.exists() and not Operation.objects.exists()
    assert document("endpoints") == {"endpoints": []}
    assert document("operations") == {"operations": []}
    assert said("endpoints").split() == ["NAME", "POOL", "STATUS", "LAST", "RESULT", "AGENT", "LAST", "SEEN", "(UTC)"]
    assert document("fleet")["status"] == "ok"
    assert said("fleet") == "0 endpoints\nNothing needs attention.\n"


def test_fleet_says_what_the_api_says_and_exits_with_1_while_something_needs_attention() -> None:
    pool = factories.pool("web")
    factories.reporting_endpoint("m1", pool=pool, state=factories.state("app 1-1"))
    assert document("fleet")["status"] == "ok"
    assert "Nothing needs attention." in said("fleet")
    Endpoint.objects.update(last_seen=clock.now().replace(year=2020))
    out = StringIO()
    with pytest.raises(SystemExit) as left:
        call_command("fleet", "--format", "json", stdout=out)
    assert left.value.code == 1
    found = json.loads(out.getvalue())
    assert found == json.loads(fleet_out().model_dump_json())
    assert [item["kind"] for item in found["attention"]] == ["offline"]
    text = StringIO()
    with pytest.raises(SystemExit):
        call_command("fleet", stdout=text)
    assert "1 endpoints, 1 offline" not in text.getvalue()
    assert "warn  offline, endpoint:m1: m1 has not" in text.getvalue()
    assert text.getvalue().splitlines()[-1].split()[:3] == ["web", "-", "1"]


def test_fleet_says_beside_those_in_sync_on_how_many_files_differ() -> None:
    pool = factories.pool("web")
    target = factories.target(pool, "app 1-1")
    differs = [factories.problem("files_differ", "/usr/bin/app")]
    for name in ("m1", "m2"):
        factories.reporting_endpoint(name, pool=pool, state=target.state, examination=differs)
    text = StringIO()
    with pytest.raises(SystemExit):
        call_command("fleet", stdout=text)
    first, *_, header, row = text.getvalue().splitlines()
    assert first == "3 endpoints, 3 in sync (files differ on 2 of them)"
    assert header.split("  ")[-3:] == ["FILES DIFFER", "UNDER WAY", "FAILED"]
    assert row.split()[-3:] == ["2", "-", "0"]


def test_fleet_of_a_database_that_cannot_be_asked_exits_with_2(tmp_path: Path) -> None:
    done = manage(f"sqlite:///{tmp_path}/empty.sqlite3", "fleet")
    assert done.returncode == 2 and done.stdout == ""
    assert "manage.py migrate" in done.stderr and "Traceback" not in done.stderr


def test_table_columns_are_as_wide_as_their_cells() -> None:
    assert table(("A", "B"), [("long", None), ("x", 12)]) == ["A     B", "long  -", "x     12"]
