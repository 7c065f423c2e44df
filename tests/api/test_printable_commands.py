"""What endpoints have said controls no terminal and begins no line, in whatever command it is printed."""

import io
import json
from typing import Any

import pytest
from django.apps import apps as installed
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import Error, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Concat

from apps.fleet import sync_coordinator, tokens
from apps.fleet.models import Endpoint, PackageVersion, Pool
from apps.lifecycle.management.output import TellingCommand
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kept_connection")]

EVIL = "\x1b]0;t\x07\nforged\r\x9b2J\u202e"
COMMANDS: dict[str, list[list[str]]] = {
    "analysis": [["POOL"]],
    "approve_endpoint": [[], ["ENDPOINT"], [EVIL]],
    "blocked_logins": [[], ["--release-account", EVIL], ["--release-address", EVIL]],
    "confirm_target": [[], ["POOL"], ["--all"]],
    "create_api_token": [["ann"], [EVIL]],
    "create_enrolment_code": [["--pool", "POOL"], ["--pool", EVIL], ["--server", EVIL]],
    "endpoint_token": [["ENDPOINT", "--rotate"], [EVIL, "--revoke"]],
    "endpoints": [[], ["ENDPOINT"], ["ENDPOINT", "--packages"], ["ENDPOINT", "--since", "2020-01-01"], [EVIL]],
    "fleet": [[]],
    "list_api_tokens": [[]],
    "operations": [[], ["--endpoint", "ENDPOINT"], ["--pool", EVIL]],
    "packages": [["PACKAGE"], ["PACKAGE", "--newer-than", "0"], ["PACKAGE", "--missing"], [EVIL]],
    "prune": [["--dry-run"], []],
    "rebuild_package_index": [[], ["--verbosity", "2"]],
    "remove_second_factor": [[EVIL]],
    "revoke_api_token": [["TOKEN"], [EVIL]],
    "roles": [[], [EVIL], [EVIL, "viewer"]],
    "sign_revision": [["POOL", "--remove"], [EVIL]],
    "vulnerabilities": [[], ["--pool", "POOL"], ["--file", EVIL]],
}


def poisoned(value: Any) -> Any:
    if isinstance(value, str):
        return value + EVIL
    if isinstance(value, list):
        return [poisoned(one) for one in value]
    return {key: poisoned(one) for key, one in value.items()} if isinstance(value, dict) else value


def poison(model: type[models.Model]) -> set[str]:
    """Put EVIL behind each text of the table, where the database allows it. Gives the fields."""
    found = set()
    for field in model._meta.concrete_fields:
        numbered = (model.__name__, field.name) == ("Advisory", "name")  # AVG-12: sorted by its number
        if field.primary_key or field.choices or field.is_relation or "hash" in field.name or numbered:
            continue
        try:
            with transaction.atomic():
                if isinstance(field, models.CharField | models.TextField):
                    model._default_manager.update(**{field.name: Concat(F(field.name), Value(EVIL))})
                elif isinstance(field, models.JSONField):
                    for row in model._default_manager.all():
                        value = poisoned(getattr(row, field.name))
                        model._default_manager.filter(pk=row.pk).update(**{field.name: value})
                else:
                    continue
        except Error:  # a constraint, or the text is too long now
            continue
        found.add(f"{model.__name__}.{field.name}")
    return found


@pytest.fixture
def names(vulnerable: None) -> dict[str, str]:
    """A fleet in which every text is hostile; by the words of COMMANDS, what they are called."""
    failed = factories.applying(factories.queued())
    factories.finish(failed, factories.state("app 1.5-1"), outcome="failed", code="hook_failed")
    pool = failed.endpoint.pool
    assert pool
    factories.reporting_endpoint(
        pool=pool, state=factories.state("app 1.0-1"), examination=[factories.problem("files_differ", "/usr/bin/app")]
    )
    tokens.create_api_token(name="ann0", role="viewer", actor="test")
    tables = [model for app in ("fleet", "vulnerabilities") for model in installed.get_app_config(app).get_models()]
    done = {name for model in tables for name in poison(model)}
    assert {"Endpoint.name", "Pool.name", "Operation.result", "ApiToken.name", "PackageVersion.version"} <= done
    failed.refresh_from_db()
    return {
        "POOL": Pool.objects.get(pk=pool.pk).name,
        "ENDPOINT": Endpoint.objects.get(pk=failed.endpoint_id).name,
        "PACKAGE": PackageVersion.objects.filter(name__startswith="app").first().name,  # type: ignore[union-attr]
        "TOKEN": f"ann0{EVIL}",
    }


def run(command: str, *arguments: str) -> tuple[str, str]:
    """(standard output, standard error and the error) of the command."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(command, *arguments, stdout=out, stderr=err)
    except SystemExit:
        pass
    except CommandError as error:
        wrapper: Any = load_command_class("apps.api", command)
        wrapper.stderr._out = err
        wrapper.stderr.write(f"CommandError: {error}")  # as run_from_argv does
    return out.getvalue(), err.getvalue()


def texts(value: Any) -> list[str]:
    """All texts in a document."""
    if isinstance(value, str):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inside for text in texts(one)]


def test_every_command_is_walked() -> None:
    assert set(COMMANDS) == {name for name, app in get_commands().items() if app == "apps.api"}
    for name in COMMANDS:
        assert isinstance(load_command_class("apps.api", name), TellingCommand)


def test_commands_print_no_controls_and_no_forged_line(names: dict[str, str]) -> None:
    seen = 0
    for command, calls in COMMANDS.items():
        for call in calls:
            for text in run(command, *(names.get(word, word) for word in call)):
                assert text.replace("\n", "").isprintable(), (command, call, text)
                assert not any(line.startswith("forged") for line in text.splitlines()), (command, call, text)
                seen += text.count("forged")
    assert seen > 20


def test_commands_print_one_valid_json_document_with_the_texts_as_they_are(names: dict[str, str]) -> None:
    exact = 0
    for command, calls in COMMANDS.items():
        for call in calls:
            out, _ = run(command, *(names.get(word, word) for word in call), "--format", "json")
            if out:
                assert out.isascii() and out.count("\n") == 1 and out[:-1].isprintable(), (command, call, out)
                exact += any(EVIL in text for text in texts(json.loads(out)))
    assert exact >= 8


def test_error_of_a_command_and_a_traceback_control_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (CommandError(EVIL), RuntimeError(EVIL)):
        command: Any = load_command_class("apps.api", "fleet")
        command.stderr._out = io.StringIO()

        def fails(*args: Any, error: Exception = error, **options: Any) -> None:
            raise error

        monkeypatch.setattr(command, "handle", fails)
        with pytest.raises(SystemExit) as left:
            command.run_from_argv(["manage.py", "fleet"])
        assert left.value.code == 2
        said = command.stderr._out.getvalue()
        assert "\\x1b]0;t" in said and said.replace("\n", "").isprintable()


def test_operation_keeps_no_controls() -> None:
    failed = factories.applying()
    failed.endpoint.refresh_from_db()
    assert failed.lease_token
    done = sync_coordinator.finish(
        operation_id=failed.pk,
        endpoint=failed.endpoint,
        lease_token=failed.lease_token,
        outcome="failed",
        seq=failed.endpoint.report_seq + 1,
        state=failed.base_state_id,
        code="hook_failed",
        message=f"a{EVIL}",
        log_tail=f"b\tc{EVIL}",
        hint="\u2066d\x85",
    )
    kept = done.result
    assert kept
    assert kept["message"] == "a\ufffd]0;t\ufffd\nforged\r\ufffd2J\ufffd"
    assert kept["log_tail"] == "b\tc\ufffd]0;t\ufffd\nforged\r\ufffd2J\ufffd"
    assert kept["hint"] == "\ufffdd\ufffd"
