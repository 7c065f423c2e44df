"""`manage.py vulnerabilities`: what the API says, in lines for people, and getting a list by hand."""

import json
import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.lifecycle.management.output import ExitCode
from apps.vulnerabilities import tracker_list
from tests import factories
from tests.api.support import Api
from tests.support import migrated
from tests.support.server import manage
from tests.vulnerabilities.lists import COPY, URL, encoded, entry, store, store_and_compare

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[int, str]:
    """The exit code of the command, and what it prints."""
    out = StringIO()
    try:
        call_command("vulnerabilities", *arguments, stdout=out, stderr=StringIO())
    except ExitCode as left:
        return int(str(left.code)), out.getvalue()
    except CommandError as error:
        return error.returncode, str(error)
    return 0, out.getvalue()


@pytest.mark.usefixtures("kept_connection")
def test_command_shows_machines_by_severity_and_advisories(vulnerable: None) -> None:
    code, text = run()
    lines = text.splitlines()
    assert code == 1
    assert lines[0].startswith("The list is of ") and lines[0].endswith(f": 8 advisories, from {URL}.")
    assert lines[1] == "4 endpoints by the worst severity: 1 critical, 1 high, 1 none, 1 unreported."
    assert lines[2:5] == ["critical: m1", "high: m2", ""]
    assert lines[6].split() == ["AVG-2823", "critical", "1", "5.6.1-2", "xz", "5.6.0-1", "CVE-2024-3094"]
    assert len(lines) == 9


@pytest.mark.usefixtures("kept_connection")
def test_command_json_is_what_the_api_says(viewer: Api, vulnerable: None) -> None:
    code, text = run("--json", "--pool", "lab", "--severity", "high")
    document = json.loads(text)
    affected = document.pop("affected")
    body = viewer.get("/vulnerabilities?pool=lab&severity=high").ok()
    assert code == 1 and {**document, "list": None} == {**body, "list": None}
    assert affected == viewer.get("/vulnerabilities/endpoints?severity=high").ok()["items"]
    assert json.loads(run("--format", "json", "--endpoint", "m3")[1])["items"] == []


@pytest.mark.usefixtures("kept_connection")
@pytest.mark.parametrize("asked", [("--endpoint", "m4"), ("--pool", "lab", "--endpoint", "alone")])
def test_command_about_endpoints_of_which_nothing_is_known_gives_no_answer(
    vulnerable: None, asked: tuple[str, ...]
) -> None:
    factories.endpoint("alone")
    code, text = run(*asked)
    assert code == 2
    assert text.splitlines()[-1] == "Nothing is known: none is compared."


@pytest.mark.usefixtures("kept_connection")
def test_command_names_at_most_ten(vulnerable: None) -> None:
    for number in range(15):
        factories.reporting_endpoint(f"n{number:02}", state=factories.state("xz 1-1", f"p{number} 1-1"))
    store_and_compare(*(entry(number, f"p{number}") for number in range(15)))
    text = run()[1]
    assert "high: n00, n01, n02, n03, n04, n05, n06, n07, n08, n09 and 5 more\n" in text
    assert text.endswith("and 5 more advisories (--json has all)\n")


@pytest.mark.usefixtures("kept_connection")
def test_command_exit_codes_tell_none_from_unknown(vulnerable: None) -> None:
    assert run("--endpoint", "m3")[0] == 0
    code, text = run("--severity", "critical", "--endpoint", "m2")
    assert code == 0 and text.endswith("\nNo advisory of severity critical or worse concerns an installed package.\n")
    store(entry(1, "nothing"))
    code, text = run()
    assert code == 2 and "3 not compared" in text and "Nothing is known: none is compared." in text


@pytest.mark.usefixtures("kept_connection")
def test_command_off_says_how_to_turn_it_on(db: None) -> None:
    code, text = run()
    assert code == 3 and "SECURITY_TRACKER_URL" in text and "security.archlinux.org/all.json" in text


def test_command_exit_codes_of_a_process(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/empty.sqlite3"
    done = manage(database, "vulnerabilities")
    assert done.returncode == 3 and "SECURITY_TRACKER_URL" in done.stderr and "Traceback" not in done.stderr
    done = manage(database, "vulnerabilities", SECURITY_TRACKER_URL=URL)
    assert done.returncode == 2 and "manage.py migrate" in done.stderr and "Traceback" not in done.stderr


def test_command_writes_one_document_and_the_log_elsewhere(tmp_path: Path) -> None:
    """Taking a list is logged."""
    database = migrated.sqlite(tmp_path / "database.sqlite3")
    done = manage(database, "vulnerabilities", "--file", str(COPY), "--json", SECURITY_TRACKER_URL=URL)
    assert json.loads(done.stdout)["list"]["advisories"] == 8
    assert "the list of known vulnerabilities has 8 entries" in done.stderr
    done = manage(database, "vulnerabilities", "--file", str(tmp_path), SECURITY_TRACKER_URL=URL)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count(f"{tmp_path} can't be read") == 1


@pytest.mark.usefixtures("kept_connection")
def test_command_force_without_a_list_to_take_is_refused(vulnerable: None) -> None:
    code, text = run("--force")
    assert code != 0 and "--fetch" in text and "--file" in text


@pytest.mark.usefixtures("kept_connection")
def test_command_without_a_list_says_how_to_get_one(settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = URL
    code, text = run()
    assert code == 2 and "There is no list yet. The server fetches it; --fetch does so now." in text


@pytest.mark.usefixtures("kept_connection")
def test_versions_are_in_pacmans_order_and_shortened(viewer: Api, vulnerable: None) -> None:
    for version in ("1.10-1", "1.9-1", "1:0.1-1", "1.9.1-1"):
        factories.reporting_endpoint(state=factories.state(f"app {version}"))
    store_and_compare(entry(1, "app"))
    (item,) = viewer.get("/vulnerabilities").ok()["items"]
    assert item["packages"][0]["versions"] == ["1.9-1", "1.9.1-1", "1.10-1", "1:0.1-1"]
    assert "app 1.9-1 1.9.1-1 1.10-1 …" in run()[1]


@pytest.mark.usefixtures("kept_connection")
def test_command_takes_a_file_and_compares_at_once(vulnerable: None, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_bytes(encoded(*(entry(number, "linux", severity="Medium") for number in range(1, 9))))
    os.utime(path, (0, 0))
    code, text = run("--file", str(path))
    assert code == 1 and "medium: m3" in text and "years" in text.splitlines()[0]


@pytest.mark.usefixtures("kept_connection")
def test_command_refuses_a_shrunk_list_unless_forced(vulnerable: None, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    path.write_bytes(encoded(entry(1, "linux")))
    code, text = run("--file", str(path))
    assert code != 0 and "(list_shrunk) The list of before stays. If that is right, use --force." in text
    assert tracker_list.current().advisory_count == 8
    assert run("--file", str(path), "--force")[0] == 1 and tracker_list.current().advisory_count == 1


@pytest.mark.usefixtures("kept_connection")
def test_command_fetches_from_the_source(vulnerable: None, settings: Any) -> None:
    settings.SECURITY_TRACKER_URL = str(COPY)
    assert run("--fetch")[0] == 1 and tracker_list.current().source == str(COPY)
