"""What DATABASE_URL says of a PostgreSQL, read as libpq reads it, and what PG* variables and a service file add.

It must not know any setting. Nothing that it raises quotes the URL: that holds a password. The rule behind all of it:
what the user says wins, or is refused in one line; it is never overruled in silence.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured

SCHEMES = ("postgresql", "postgres", "pgsql", "psql")
FORM = "must be postgresql://user:password@host:port/database or sqlite:///path."
ENCODE = "In a user name or password / ? # @ and % must be percent-encoded (/ is %2F, @ is %40)."
# What Django's PostgreSQL backend takes beside libpq's own parameters.
ROLE = "assume_role"
# What can be said in a URL, and what PacSync decides itself.
DECIDED = {
    "isolation_level": "PacSync needs read committed",
    "server_side_binding": "PacSync binds on the client, as PgBouncer needs it",
    "conn_max_age": "the dbpool decides how long a connection lives (DB_POOL_MAX_LIFETIME)",
    "conn_health_checks": "the dbpool checks each connection",
    "disable_server_side_cursors": "DB_PGBOUNCER decides it",
    "atomic_requests": "PacSync decides its transactions",
    "autocommit": "PacSync decides its transactions",
    "replication": "PacSync needs an ordinary session",
}
UTF8 = {"utf8", "utf-8", "unicode"}
FIELDS = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}


def is_postgresql(url: str) -> bool:
    return url.partition("://")[0].lower() in SCHEMES


def postgresql(name: str, url: str) -> dict[str, Any]:
    """The entry of Django's DATABASES for the URL in the variable `name`, without ENGINE. ImproperlyConfigured."""
    said, role = _parameters(name, url)
    _refuse_what_is_decided(name, said)
    inherited = environment_parameters(said.get("service"))
    _refuse_other_encodings(name, said, inherited)
    said = inherited | said  # libpq's own order; here, because it would ask nobody for what we give ourselves
    if not said.get("dbname") and "service" not in said:
        raise ImproperlyConfigured(f"{name} {FORM}")
    fields = {field: said.pop(key, "") for key, field in FIELDS.items()}
    return fields | {"OPTIONS": said | role}


def _parameters(name: str, url: str) -> tuple[dict[str, str], dict[str, str]]:
    """libpq's parameters of the URL, and Django's."""
    from psycopg.pq import Conninfo  # only here: commands that ask no database start without it

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    head, mark, query = _normal(name, url).partition("?")
    words = {} if not mark else dict(part.partition("=")[::2] for part in query.split("&") if part)
    for key in words:
        if key.lower() in DECIDED:
            raise ImproperlyConfigured(f"{name}: {key} can't be set there: {DECIDED[key.lower()]}.")
    unknown = sorted(set(words) - known - {"ssl", ROLE})
    if unknown:
        raise ImproperlyConfigured(
            f"{name} has a parameter that PostgreSQL's libpq doesn't know: {', '.join(unknown)}."
        )
    role = {ROLE: unquote(words.pop(ROLE))} if ROLE in words else {}
    text = head + ("?" + "&".join(f"{key}={_encoded(key, value)}" for key, value in words.items()) if words else "")
    try:
        said = {option.keyword.decode(): option.val.decode() for option in Conninfo.parse(text.encode()) if option.val}
    except Exception:  # its text quotes what it didn't understand
        raise ImproperlyConfigured(f"{name} {FORM} {ENCODE}") from None
    _refuse_what_was_torn(name, head, words, said)
    return said, role


def _encoded(key: str, value: str) -> str:
    """A value as libpq takes it: other programs let `=` and a space stand, and write a space as +."""
    value = value.replace("=", "%3D").replace(" ", "%20")
    return value.replace("+", "%20") if key == "options" else value


def _normal(name: str, url: str) -> str:
    """The URL with libpq's own scheme, and each @ of a password encoded: only the last one ends it."""
    rest = url.partition("://")[2]
    authority, slash, path = rest.partition("/")
    before, _, query = path.partition("?")
    if "@" in before or ("@" in query and "@" not in authority):  # the password was longer than it seemed
        raise ImproperlyConfigured(f"{name} {FORM} {ENCODE}")
    user, at, hosts = authority.rpartition("@")
    return "postgresql://" + _userinfo(user) + at + hosts + slash + path


def _userinfo(text: str) -> str:
    for letter in "@? ":
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def _refuse_what_was_torn(name: str, head: str, words: Mapping[str, str], said: Mapping[str, str]) -> None:
    ports = said.get("port", "").split(",")
    if any(port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65536) for port in ports):
        raise ImproperlyConfigured(f"{name} {FORM} {ENCODE}")
    written = head.partition("://")[2].rpartition("@")[2]
    hosts, _, path = written.partition("/")
    for key, is_there in (("host", hosts.lstrip(":").strip("0123456789")), ("dbname", path)):
        if is_there and key in words:
            raise ImproperlyConfigured(f"{name} names the {key} twice: before the ? and behind it.")


def _refuse_what_is_decided(name: str, said: Mapping[str, str]) -> None:
    for key, why in DECIDED.items():
        if key in said:
            raise ImproperlyConfigured(f"{name}: {key} can't be set there: {why}.")


def _refuse_other_encodings(name: str, said: Mapping[str, str], inherited: Mapping[str, str]) -> None:
    for place, found in ((name, said), ("The environment", inherited)):
        encoding = found.get("client_encoding", "utf8")
        if encoding.lower() not in UTF8:
            raise ImproperlyConfigured(f"{place} sets client_encoding to {encoding}: PacSync needs UTF8.")


def environment_parameters(service: str | None) -> dict[str, str]:
    """libpq's parameters that come from PG* variables, or from the section `service` of a service file.

    libpq itself reads them: its defaults with these variables, less its defaults without them. A password stays there.
    """
    variables = {key: value for key, value in os.environ.items() if re.fullmatch(r"PG[A-Z_]+", key)}
    if service:
        variables["PGSERVICE"] = service
    if not variables:
        return {}
    with _variables(variables):
        found = _defaults()
    with _variables({}):
        plain = _defaults()
    return {key: value for key, value in found.items() if plain.get(key) != value and key != "password"}


def _defaults() -> dict[str, str]:
    from psycopg.pq import Conninfo

    return {option.keyword.decode(): os.fsdecode(option.val) for option in Conninfo.get_defaults() if option.val}


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Inside, these are the PG* variables of this process."""
    before = {key: value for key, value in os.environ.items() if re.fullmatch(r"PG[A-Z_]+", key)}
    for key in before:
        del os.environ[key]
    os.environ.update(variables)
    try:
        yield
    finally:
        for key in variables:
            del os.environ[key]
        os.environ.update(before)
