"""`manage.py packages` and `rebuild_package_index`: the same words and answers as the API."""

import json
from pathlib import Path

import pytest
from django.core.management import CommandError

from apps.fleet.models import Pool, Posting
from tests.api.commands import said
from tests.api.support import Api, ApiMachine
from tests.support.server import manage

pytestmark = pytest.mark.usefixtures("kept_connection")


@pytest.fixture
def fleet(pool: Pool) -> None:
    """m1 and m2 in lab with openssl 3.0.1-1 and 3.0.10-1, m3 in no pool without it; m4 never reported."""
    for number, version in enumerate(("3.0.1-1", "3.0.10-1"), 1):
        ApiMachine(f"m{number}", pool).report(f"openssl {version}")
    ApiMachine("m3").report("linux 1-1")
    ApiMachine("m4")


@pytest.mark.django_db
def test_packages_versions_newest_first(fleet: None) -> None:
    assert said("packages", "openssl").splitlines() == [
        "VERSION   ENDPOINTS  POOLS",
        "3.0.10-1  1          lab 1",
        "3.0.1-1   1          lab 1",
        "1 endpoint reported without openssl.",
        "1 endpoint has never reported.",
    ]
    assert said("packages", "nobody").startswith("No endpoint has nobody; 3 reported without it.")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--older-than", "3.0.10"], ["m1"]),
        (["--newer-than", "3.0.1"], ["m2"]),
        (["--version", "3.0.1"], ["m1"]),
        (["--missing"], ["m3"]),
        (["--pool", "lab"], ["m1", "m2"]),
        (["--pool", "-"], []),
    ],
)
def test_packages_endpoints_each_option_as_text_and_json(fleet: None, options: list[str], names: list[str]) -> None:
    text = said("packages", "openssl", *options).splitlines()
    assert [line.split()[0] for line in text[1:]] == names or (not names and "No endpoint matches" in text[0])
    document = json.loads(said("packages", "openssl", *options, "--format", "json"))
    assert [one["name"] for one in document["endpoints"]] == names


@pytest.mark.django_db
def test_packages_json_is_what_the_api_answers(fleet: None, viewer: Api) -> None:
    assert json.loads(said("packages", "openssl", "--format", "json")) == viewer.get("/packages/openssl").ok()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a b"], "no package with such a name"),
        (["openssl", "--pool", "none"], "no pool 'none'"),
        (["openssl", "--missing", "--older-than", "1"], "not for both"),
        (["openssl", "--version", ""], "version is not a version"),
    ],
)
def test_packages_that_makes_no_sense_one_line(fleet: None, arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        said("packages", *arguments)


@pytest.mark.django_db
def test_rebuild_package_index_writes_it_and_answers_stay(fleet: None, viewer: Api) -> None:
    before = viewer.get("/packages/openssl").ok()
    assert "was rebuilt: 3 states" in said("rebuild_package_index")
    assert json.loads(said("rebuild_package_index", "--format", "json")) == {"states": 3}
    assert Posting.objects.exists()
    assert viewer.get("/packages/openssl").ok() == before


@pytest.mark.parametrize("command", [("packages", "openssl"), ("rebuild_package_index",)], ids=lambda one: one[0])
def test_command_on_a_database_that_is_not_migrated_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    done = manage(f"sqlite:///{tmp_path}/empty.sqlite3", *command)
    assert done.returncode == 1 and done.stdout == ""
    assert "manage.py migrate" in done.stderr and "Traceback" not in done.stderr
