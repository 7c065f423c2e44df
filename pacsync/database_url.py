"""Reads a DATABASE_URL of PostgreSQL as libpq does, or its parts, with what PG* variables and a service file add.

It must not know any setting. No error quotes the URL, because that holds a password. What the user sets wins or is
refused in one line; it is never overruled silently.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote

from django.core.exceptions import ImproperlyConfigured

SCHEMES = ("postgresql", "postgres", "pgsql", "psql")
FORM = "must be postgresql://user:password@host:port/database or sqlite:///path."
ENCODE = "In a user name or password / ? # @ and % must be percent-encoded (/ is %2F, @ is %40)."
# What Django's PostgreSQL backend takes in addition to libpq's own parameters.
ROLE = "assume_role"
# What a URL could set, but PacSync decides itself, and why.
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
WORD = re.compile(r"[A-Za-z_]+")
HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
# Parameters of libpq that it looks at only when it connects: what they may be, and how that is said.
_NUMBER = (re.compile(r"[0-9]{1,9}"), "a whole number")
VALUES = {
    "sslmode": (
        re.compile(r"disable|allow|prefer|require|verify-ca|verify-full"),
        "disable, allow, prefer, require, verify-ca or verify-full",
    ),
    "connect_timeout": _NUMBER,
    "tcp_user_timeout": _NUMBER,
    "keepalives": _NUMBER,
    "keepalives_idle": _NUMBER,
    "keepalives_interval": _NUMBER,
    "keepalives_count": _NUMBER,
}
UTF8 = {"utf8", "utf-8", "unicode"}
FIELDS = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
PARTS = tuple(f"DATABASE_{field}" for field in ("HOST", "PORT", "NAME", "USER", "PASSWORD"))


def is_postgresql(url: str) -> bool:
    return url.partition("://")[0].lower() in SCHEMES


def postgresql(name: str, url: str) -> dict[str, Any]:
    """The entry of Django's DATABASES for the URL in the variable `name`, without ENGINE. ImproperlyConfigured."""
    said, role = _parameters(name, url)
    _refuse_what_is_decided(name, said)
    return _entry(name, said, role)


def postgresql_parts(parts: Mapping[str, str]) -> dict[str, Any]:
    """The same for the values of the variables in PARTS, as they are: nothing is percent-encoded. Empty ones are left.

    Raises ImproperlyConfigured without a name, for a part that is a URL, and for what is no host or no port. No error
    quotes a part: each may be a URL with a password by mistake.
    """
    said = {key: parts.get(f"DATABASE_{field}", "") for key, field in FIELDS.items()}
    for key in ("dbname", "user", "host", "port"):
        said[key] = said[key].strip()
        if "://" in said[key]:
            raise ImproperlyConfigured(f"DATABASE_{FIELDS[key]} is one part; the whole URL is for DATABASE_URL.")
    hosts = [host.strip() for host in said["host"].split(",")]
    hosts = [host[1:-1] if host[:1] + host[-1:] == "[]" else host for host in hosts]  # an IPv6 address as in a URL
    if said["host"] and not all(map(_is_host, hosts)):
        rule = "must be a host name, an address or the folder of a socket; the port is for DATABASE_PORT."
        raise ImproperlyConfigured(f"DATABASE_HOST {rule}")
    said["host"] = ",".join(hosts)
    if not _are_ports(said["port"]) or said["port"].count(",") not in {0, len(hosts) - 1}:
        raise ImproperlyConfigured("DATABASE_PORT must be a whole number from 1 to 65535, one or one for each host.")
    return _entry("DATABASE_NAME", {key: value for key, value in said.items() if value}, {})


def _entry(name: str, said: dict[str, str], role: dict[str, str]) -> dict[str, Any]:
    inherited = environment_parameters(said.get("service"))
    _refuse_other_encodings(name, said, inherited)
    for key, (pattern, words) in VALUES.items():
        if key in said and not pattern.fullmatch(said[key]):
            raise ImproperlyConfigured(f"{name}: {key} must be {words}.")
    said = inherited | said  # libpq's own order; here, because libpq doesn't look for what it is given
    if not said.get("dbname") and "service" not in said:
        raise ImproperlyConfigured(f"{name} {'must name the database.' if name in PARTS else FORM}")
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
        # A password with an & in it, as a parameter: the rest of it looks like another parameter.
        is_secret = any("pass" in key.lower() for key in words) or not all(map(WORD.fullmatch, unknown))
        named = "an & in a password is %26" if is_secret else ", ".join(unknown)
        raise ImproperlyConfigured(f"{name} has a parameter that PostgreSQL's libpq doesn't know: {named}.")
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
    if "@" in before or "@" in query:  # the password was longer than it seemed
        raise ImproperlyConfigured(f"{name} {FORM} {ENCODE}")
    user, at, hosts = authority.rpartition("@")
    return "postgresql://" + _userinfo(user) + at + hosts + slash + path


def _userinfo(text: str) -> str:
    for letter in "@? ":
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def _refuse_what_was_torn(name: str, head: str, words: Mapping[str, str], said: Mapping[str, str]) -> None:
    if not _are_ports(said.get("port", "")):
        raise ImproperlyConfigured(f"{name} {FORM} The port is a number from 1 to 65535. {ENCODE}")
    written = head.partition("://")[2].rpartition("@")[2]
    hosts, _, path = written.partition("/")
    for key, is_there in (("host", hosts.lstrip(":").strip("0123456789")), ("dbname", path)):
        if is_there and key in words:
            raise ImproperlyConfigured(f"{name} names the {key} twice: before the ? and behind it.")


def _is_host(text: str) -> bool:
    if text.startswith("/"):
        return text.isprintable()
    return is_address(text) if ":" in text else HOST.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether it is an IP address; one of IPv6 may have its zone."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _are_ports(text: str) -> bool:
    """Whether it is a port, or one for each of several hosts, as libpq takes them; an empty one is the usual port."""
    ports = (port for port in text.split(",") if port)
    return all(port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536 for port in ports)


def _refuse_what_is_decided(name: str, said: Mapping[str, str]) -> None:
    for key, why in DECIDED.items():
        if key in said:
            raise ImproperlyConfigured(f"{name}: {key} can't be set there: {why}.")


def _refuse_other_encodings(name: str, said: Mapping[str, str], inherited: Mapping[str, str]) -> None:
    for place, found in ((name, said), ("The environment", inherited)):
        encoding = found.get("client_encoding", "utf8")
        if encoding.lower() not in UTF8:
            told = "another client_encoding" if found is said else f"client_encoding to {encoding}"
            raise ImproperlyConfigured(f"{place} sets {told}: PacSync needs UTF8.")


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
