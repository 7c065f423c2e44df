"""Values that a setting refuses, or takes as they were meant. What may hold a password is never quoted."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from pacsync import environment

SQLITE = "sqlite:///data/pacsync.sqlite3"
SECRET = "s3cr3t"
NOT_A_HOST = "DATABASE_HOST must be a host name, an address or the folder of a socket; the port is for DATABASE_PORT."
NOT_A_PORT = "DATABASE_PORT must be a whole number from 1 to 65535, one or one for each host."
Set = Callable[..., None]


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Iterator[Set]:
    """`variables(NAME=value)` sets these, and no other variable of a database."""
    for part in ("URL", "HOST", "PORT", "NAME", "USER", "PASSWORD"):
        monkeypatch.delenv(f"DATABASE_{part}", raising=False)

    def put(**values: object) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    environment.env.ENVIRON.files_cache.clear()
    yield put
    environment.env.ENVIRON.files_cache.clear()


def database() -> dict[str, Any]:
    return environment.database("DATABASE_URL", SQLITE)


def refusal() -> str:
    with pytest.raises(ImproperlyConfigured) as refused:
        database()
    assert SECRET not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    "host",
    [f"u:{SECRET}@h", f"{SECRET} h", "h:5432", "[::1", "::1]", "1::2::3", f"a/{SECRET}", "h,", "a..b", "h@d", "/a\nb"],
)
def test_database_host_that_is_none_is_refused_and_not_quoted(variables: Set, host: str) -> None:
    variables(DATABASE_NAME="db", DATABASE_HOST=host)
    assert refusal() == NOT_A_HOST


@pytest.mark.parametrize("part", ["HOST", "USER", "PORT", "NAME"])
def test_database_part_that_is_a_whole_url_is_refused_and_not_quoted(variables: Set, part: str) -> None:
    variables(**{"DATABASE_NAME": "db", f"DATABASE_{part}": f"postgresql://u:{SECRET}@h/db"})
    assert refusal() == f"DATABASE_{part} is one part; the whole URL is for DATABASE_URL."


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (" db.example ", "db.example"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[::1],[::2]", "::1,::2"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("/var/run/postgresql", "/var/run/postgresql"),
        ("my_db-1.", "my_db-1."),
        ("127.0.0.1,127.0.0.2", "127.0.0.1,127.0.0.2"),
    ],
)
def test_database_host_is_taken_as_it_is_meant(variables: Set, written: str, meant: str) -> None:
    variables(DATABASE_NAME=" db ", DATABASE_HOST=written, DATABASE_USER=" u ", DATABASE_PORT=" 5433 ")
    found = database()
    assert (found["HOST"], found["NAME"], found["USER"], found["PORT"]) == (meant, "db", "u", "5433")


@pytest.mark.parametrize("port", ["0054329999", "0", "65536", "5432,5433", "x", "5432 5433", "-1"])
def test_database_port_that_is_none_is_refused(variables: Set, port: str) -> None:
    variables(DATABASE_NAME="db", DATABASE_HOST="h", DATABASE_PORT=port)
    assert refusal() == NOT_A_PORT


def test_database_ports_are_one_for_each_host(variables: Set) -> None:
    variables(DATABASE_NAME="db", DATABASE_HOST="a,b", DATABASE_PORT="5432,5433")
    assert database()["PORT"] == "5432,5433"


@pytest.mark.parametrize(
    ("parameter", "must"),
    [
        (f"sslmode={SECRET}", "sslmode must be disable, allow, prefer, require, verify-ca or verify-full."),
        (f"connect_timeout={SECRET}", "connect_timeout must be a whole number."),
        ("keepalives_idle=1s", "keepalives_idle must be a whole number."),
    ],
)
def test_parameter_that_libpq_would_refuse_at_each_attempt_is_refused(
    variables: Set, parameter: str, must: str
) -> None:
    variables(DATABASE_URL=f"postgresql://u@h/db?{parameter}")
    assert refusal() == f"DATABASE_URL: {must}"


@pytest.mark.parametrize("name", ["DATABASE_URL", "DATABASE_PASSWORD", "DATABASE_HOST"])
@pytest.mark.parametrize("content", ["", "\n", "\ufeff"])
def test_secret_that_nobody_filled_yet_is_refused(variables: Set, tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / "secret"
    file.write_text(content)
    if name != "DATABASE_URL":
        variables(DATABASE_NAME="db")
    variables(**{f"{name}_FILE": file})
    assert refusal() == f"{name}_FILE names {file}, which is empty."


@pytest.mark.parametrize("content", [f"{SECRET}\0b", f"{SECRET}\nother", "\0", f"{SECRET}\r\nother\r\n"])
def test_file_with_more_than_a_line_is_refused(variables: Set, tmp_path: Path, content: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content.encode())
    variables(DATABASE_NAME="db", DATABASE_PASSWORD_FILE=file)
    assert refusal() == "DATABASE_PASSWORD_FILE names a file with more than one line, or with a NUL."


def test_mark_at_the_beginning_of_a_file_is_no_part_of_a_secret(variables: Set, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"\xef\xbb\xbf" + SECRET.encode() + b"\r\n")
    variables(DATABASE_NAME="db", DATABASE_PASSWORD_FILE=file)
    assert database()["PASSWORD"] == SECRET


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", f"sqlite://{SECRET}"])
def test_sqlite_without_a_path_is_refused(variables: Set, url: str) -> None:
    variables(DATABASE_URL=url)
    assert refusal() == "DATABASE_URL must be postgresql://user:password@host:port/database or sqlite:///path."


def test_address_with_a_password_is_refused_without_it(variables: Set) -> None:
    variables(PACKAGE_ARCHIVE_URL=f"https://u:{SECRET} x@archive.example/")
    with pytest.raises(ImproperlyConfigured, match=r"not 'https://…@archive\.example/'\.$") as refused:
        environment.address("PACKAGE_ARCHIVE_URL", "https://archive.archlinux.org")
    assert SECRET not in str(refused.value)


TRACKER = "https://security.archlinux.org/all.json"


@pytest.mark.parametrize(
    "text",
    ["", TRACKER, "http://[::1]:8000/all.json", "/srv/all.json", "file:/srv/all.json", "file:///srv/all.json"],
)
def test_file_or_address_is_taken(variables: Set, text: str) -> None:
    variables(SECURITY_TRACKER_URL=f" {text} ")
    assert environment.file_or_address("SECURITY_TRACKER_URL", TRACKER) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("all.json", "be an address like https://security.archlinux.org/all.json"),
        ("ftp://x/all.json", "be an address like https://security.archlinux.org/all.json"),
        ("https://", "be an address like https://security.archlinux.org/all.json"),
        (f"https://u:{SECRET}@x/", "be an address without a user name"),
        ("//x/all.json", "name a file by its whole path, like /srv/all.json"),
        ("file:all.json", "name a file by its whole path, like /srv/all.json"),
        ("file://x/all.json", "name a file by its whole path, like /srv/all.json"),
    ],
)
def test_neither_file_nor_address_is_refused(variables: Set, text: str, rule: str) -> None:
    variables(SECURITY_TRACKER_URL=text)
    with pytest.raises(ImproperlyConfigured, match=f"^SECURITY_TRACKER_URL must {re.escape(rule)}, not ") as refused:
        environment.file_or_address("SECURITY_TRACKER_URL", TRACKER)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "host",
    ["256.1.1.1", "1.2.3", "a..b", ":::", "1:2", "[]", "", ".", "x y", "unix:/", "unix:/x\ny", f"unix:/{'x' * 107}"],
)
def test_listener_that_nothing_can_be_bound_to_is_refused(host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^HTTP_HOST must "):
        environment.listener("HTTP_HOST", host, 80)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("0.0.0.0", "0.0.0.0:80"),
        ("::", "[::]:80"),
        ("[::1]", "[::1]:80"),
        ("fe80::1%eth0", "[fe80::1%eth0]:80"),
        ("my-host_1.example", "my-host_1.example:80"),
        ("unix:/run/x.sock", "unix:/run/x.sock"),
    ],
)
def test_listener_is_an_address_for_gunicorn(host: str, address: str) -> None:
    assert environment.listener("HTTP_HOST", host, 80) == address


@pytest.mark.parametrize("value", ["", " , ", ","])
def test_hosts_without_any_are_the_default(variables: Set, value: str) -> None:
    variables(ALLOWED_HOSTS=value)
    assert environment.hosts("ALLOWED_HOSTS", ["localhost"]) == ["localhost"]
