"""The preflight beside the server: whatever DATABASE_URL, PG variables or presets say, all come to one verdict."""

import json
import uuid
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from tests.support import preloaded
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgres import Postgres, free_port
from tests.support.sample import every
from tests.support.server import ROOT, environment

SECRET = "S3CRET"


class Case(NamedTuple):
    """`url` and `env` with {port}, {db}, {socket}, {folder}; `preset` are SQL statements before, with {db}.

    `says`: a piece of what all three say; empty: all three work, and the server's session shows `session`.
    """

    name: str
    url: str
    says: str = ""
    session: str = ""
    env: dict[str, str] = {}
    preset: tuple[str, ...] = ()


PLAIN = "postgresql://postgres:" + SECRET + "@127.0.0.1:{port}/{db}"
FORM = "DATABASE_URL must be"
PARTS = {
    "DATABASE_HOST": "127.0.0.1",
    "DATABASE_PORT": "{port}",
    "DATABASE_NAME": "{db}",
    "DATABASE_USER": "postgres",
    "DATABASE_PASSWORD": SECRET + "/?@#%41 +",
}


def preset(name: str, setting: str, says: str = "", session: str = "") -> Case:
    """A case where the database presets `setting`."""
    return Case(name, PLAIN, says, session, preset=("ALTER DATABASE {db} SET " + setting,))


CASES = [
    Case("plain", PLAIN, session="statement_timeout=30s application_name=pacman-sync-utility"),
    Case("other scheme", "postgres" + PLAIN.removeprefix("postgresql")),
    Case("in parts", "", env=PARTS, session="application_name=pacman-sync-utility"),
    Case("in parts, without a name", "", "DATABASE_NAME must name the database.", env=PARTS | {"DATABASE_NAME": ""}),
    Case("in parts, no port", "", "DATABASE_PORT must be a whole number", env=PARTS | {"DATABASE_PORT": "5432x"}),
    Case("URL and parts", PLAIN, "Set either DATABASE_URL or DATABASE_HOST, DATABASE_PORT", env=PARTS),
    Case("URL and a service link", PLAIN, env={"DATABASE_PORT": "tcp://10.96.0.9:5432"}),
    Case("statement_timeout", PLAIN + "?options=-c%20statement_timeout%3D5000", session="statement_timeout=5s"),
    Case("options with + and =", PLAIN + "?options=-c+statement_timeout=5000", session="statement_timeout=5s"),
    Case("other option", PLAIN + "?options=-c%20work_mem%3D5MB", session="work_mem=5MB"),
    Case("unknown option", PLAIN + "?options=-c%20nosuch%3D1", "nosuch"),
    Case("senseless option", PLAIN + "?options=nonsense", "nonsense"),
    Case("DateStyle in options", PLAIN + "?options=-c%20datestyle%3DGerman", "datestyle is 'German, DMY'"),
    Case(
        "isolation in options", PLAIN + "?options=-c%20default_transaction_isolation%3Dserializable", "'serializable'"
    ),
    Case("socket in the host", "postgresql://postgres@{socket}:{port}/{db}"),
    Case("socket in a parameter", "postgresql://postgres@/{db}?host={socket}&port={port}"),
    Case("host twice", PLAIN + "?host=127.0.0.1", "names the host twice"),
    Case("several hosts", "postgresql://postgres@127.0.0.1:1,127.0.0.1:{port}/{db}"),
    Case("target read-write", PLAIN + "?target_session_attrs=read-write"),
    Case("target standby", PLAIN + "?target_session_attrs=standby", "standby"),
    Case("sslmode prefer", PLAIN + "?sslmode=prefer"),
    Case("sslmode require", PLAIN + "?sslmode=require", "SSL"),
    Case("sslmode nonsense", PLAIN + "?sslmode=nonsense", "sslmode"),
    Case("application_name", PLAIN + "?application_name=mine", session="application_name=mine"),
    Case("connect_timeout", PLAIN + "?connect_timeout=2"),
    Case("keepalives off", PLAIN + "?keepalives=0"),
    Case("unknown parameter", PLAIN + "?nonsense=1", "doesn't know: nonsense"),
    Case("client_encoding", PLAIN + "?client_encoding=LATIN1", "PacSync needs UTF8"),
    Case("isolation_level", PLAIN + "?isolation_level=3", "PacSync needs read committed"),
    Case("CONN_MAX_AGE", PLAIN + "?conn_max_age=60", "DB_POOL_MAX_LIFETIME"),
    Case("assume_role", PLAIN + "?assume_role=postgres"),
    Case("password with @ and ?", "postgresql://postgres:" + SECRET + "@?{socket}@127.0.0.1:{port}/{db}"),
    Case(
        "password with /",
        "postgresql://postgres:" + SECRET + "/" + SECRET + "@127.0.0.1:{port}/{db}",
        "percent-encoded",
    ),
    Case("password with %", "postgresql://postgres:%zz" + SECRET + "@127.0.0.1:{port}/{db}", "percent-encoded"),
    Case("port that is no number", "postgresql://postgres:" + SECRET + "@127.0.0.1:port/{db}", FORM),
    Case("no database", "postgresql://postgres@127.0.0.1:{port}", FORM),
    Case("database that isn't there", PLAIN + "x", "does not exist"),
    Case("nobody there", "postgresql://postgres@127.0.0.1:{free}/{db}", "refused"),
    Case("service", "postgresql:///?service=mine", session="work_mem=6MB", env={"PGSERVICEFILE": "{folder}/services"}),
    Case(
        "PGSERVICE",
        "postgresql://",
        session="work_mem=6MB",
        env={"PGSERVICEFILE": "{folder}/services", "PGSERVICE": "mine"},
    ),
    Case(
        "service that isn't there",
        "postgresql:///?service=other",
        "service",
        env={"PGSERVICEFILE": "{folder}/services"},
    ),
    Case("PGOPTIONS", PLAIN, session="statement_timeout=7s", env={"PGOPTIONS": "-c statement_timeout=7s"}),
    Case("senseless PGOPTIONS", PLAIN, "nosuch", env={"PGOPTIONS": "-c nosuch=1"}),
    Case("PGAPPNAME", PLAIN, session="application_name=mine", env={"PGAPPNAME": "mine"}),
    Case("PGSSLMODE", PLAIN, "SSL", env={"PGSSLMODE": "require"}),
    Case("PGDATESTYLE", PLAIN, "datestyle is 'German, DMY'", env={"PGDATESTYLE": "German"}),
    Case("PGTZ", PLAIN, "timezone is 'Asia/Tokyo'", env={"PGTZ": "Asia/Tokyo"}),
    Case("PGCLIENTENCODING", PLAIN, "PacSync needs UTF8", env={"PGCLIENTENCODING": "LATIN1"}),
    preset("preset DateStyle", "datestyle = 'German'"),
    preset("preset IntervalStyle", "intervalstyle = 'sql_standard'"),
    preset("preset serializable", "default_transaction_isolation = 'serializable'", session="isolation=read committed"),
    preset(
        "preset repeatable read",
        "default_transaction_isolation = 'repeatable read'",
        session="isolation=read committed",
    ),
    preset("preset time zone", "timezone = 'Asia/Tokyo'", session="timezone=UTC"),
    preset("preset bytea_output", "bytea_output = 'escape'"),
    preset("preset strings", "standard_conforming_strings = off"),
    preset("preset client_encoding", "client_encoding = 'LATIN1'"),
    preset("preset statement_timeout", "statement_timeout = '1ms'", session="statement_timeout=30s"),
    preset("preset synchronous_commit", "synchronous_commit = off", session="synchronous_commit=on"),
    preset("preset client_min_messages", "client_min_messages = 'error'", session="client_min_messages=notice"),
    preset("preset search_path to nowhere", "search_path = nowhere", "names no schema that exists"),
    preset("preset read-only", "default_transaction_read_only = on", "read-only"),
    Case("SQL_ASCII", PLAIN + "_ascii", "encoding is SQL_ASCII"),
    Case("LATIN1", PLAIN + "_latin1", "encoding is LATIN1"),
]


def database(server: Postgres, case: Case) -> str:
    """The name of a migrated database of the case's own."""
    name = f"t{uuid.uuid4().hex}"
    with server.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE migrated")
        for kind in ("latin1", "sql_ascii"):
            if case.url.endswith("_" + kind.removeprefix("sql_")):
                connection.execute(
                    f"CREATE DATABASE {name}_{kind.removeprefix('sql_')} "
                    f"ENCODING '{kind}' LOCALE 'C' TEMPLATE template0"
                )
        for statement in case.preset:
            connection.execute(statement.replace("{db}", name))
    return name


def ask(url: str, **env: object) -> dict[str, str]:
    """What the program beside this file says of the database in that environment."""
    clean = environment(url, **env)
    clean = {name: value for name, value in clean.items() if not name.startswith("PG") or name in env}
    done = preloaded.run([str(Path(__file__).with_name("verdicts.py"))], cwd=ROOT, env=clean)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def agree(found: dict[str, str], says: str) -> None:
    """All three work, or all three (or the settings before them) say the same piece in one line."""
    if "refused" in found:
        assert says and says in found["refused"] and "\n" not in found["refused"]
        return
    three = {name: found[name] for name in ("wait", "healthcheck", "server")}
    if not says:
        assert not any(three.values()), found
        return
    for text in three.values():
        assert says in text and "\n" not in text, found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", every(3, CASES), ids=lambda case: case.name.replace(" ", "-"))
def test_preflight_and_server_come_to_one_verdict(shared_postgres: Postgres, tmp_path: Path, case: Case) -> None:
    values = {
        "port": shared_postgres.port,
        "db": database(shared_postgres, case),
        "socket": quote(str(shared_postgres.directory), safe=""),
        "folder": tmp_path,
        "free": free_port(),
    }
    port, name = values["port"], values["db"]
    service = f"[mine]\nhost=127.0.0.1\nport={port}\nuser=postgres\ndbname={name}\noptions=-c work_mem=6MB\n"
    (tmp_path / "services").write_text(service)
    env = {name: value.format_map(values) for name, value in case.env.items()}
    found = ask(case.url.format_map(values), **env)
    agree(found, case.says)
    assert case.session in found.get("session", "")


BOUNCED = [
    ("not told of it", {}, "", "", "set DB_PGBOUNCER=true"),
    ("told of it", {"DB_PGBOUNCER": "true"}, "", "", ""),
    (
        "options in the URL",
        {"DB_PGBOUNCER": "true"},
        "?options=-c%20work_mem%3D5MB",
        "",
        "no `options` in DATABASE_URL",
    ),
    ("assume_role", {"DB_PGBOUNCER": "true"}, "?assume_role=postgres", "", "assume_role"),
    ("DateStyle", {"DB_PGBOUNCER": "true"}, "", "datestyle = 'German'", ""),
    ("strings", {"DB_PGBOUNCER": "true"}, "", "standard_conforming_strings = off", ""),
    ("time zone", {"DB_PGBOUNCER": "true"}, "", "timezone = 'Asia/Tokyo'", ""),
    ("serializable", {"DB_PGBOUNCER": "true"}, "", "default_transaction_isolation = 'serializable'", "'serializable'"),
    ("read-only", {"DB_PGBOUNCER": "true"}, "", "default_transaction_read_only = on", "read-only"),
]


@pytest.mark.timeout(300)
@pytest.mark.needs("pgbouncer")
@pytest.mark.parametrize("case", BOUNCED, ids=lambda case: case[0].replace(" ", "-"))
def test_preflight_and_server_behind_pgbouncer_come_to_one_verdict(
    shared_postgres: Postgres, case: tuple[str, dict[str, str], str, str, str]
) -> None:
    _, env, parameters, setting, says = case
    presets = ("ALTER DATABASE {db} SET " + setting,) if setting else ()
    name = database(shared_postgres, Case("", "", preset=presets))
    with running_pgbouncer(shared_postgres, name) as url:
        agree(ask(url + parameters, **env), says)
