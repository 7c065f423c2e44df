"""Reads variables of the environment: their types, their limits, and one clear line for a value that makes no sense.

It must not know any setting; `pacsync/settings.py` names them. Everything here raises ImproperlyConfigured.

django-environ reads the variables, and the files that NAME_FILE variables name. Four things are ours, because
django-environ keeps the line break at the end of a file, raises whatever `open()` raises, takes a value that begins
with `$` for the name of another variable, and warns of a database URL with an unknown scheme by quoting it with its
password (docs/adr/0047-…).
"""

import os
import re
import socket
import warnings
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

from pacsync import database_url

DAY = 86_400  # seconds
LONGEST = 80  # characters of a value that a message quotes
LONGEST_HOST = 253  # characters of a host name, by DNS
EVERY_IPV4 = "0.0.0.0"  # noqa: S104 - a container listens on all of its addresses
COOKIE_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
WHOLE = re.compile(r"-?[0-9]+")
HOST = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\]")
LISTENER = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
CREDENTIALS = re.compile(r"//.*@")
SOCKET_PATH = 107  # bytes, by the kernel
ORIGIN = re.compile(r"https?://(\*\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class Variables(FileAwareMapping):  # type: ignore[misc]  # environ has no types
    """A value from a file is without the line break at its end and the mark at its beginning, which editors put there.

    Raises ImproperlyConfigured for a file of several lines, or with a NUL: what reads the value might end there.
    """

    def __getitem__(self, key: str) -> str:
        value: str = super().__getitem__(key)
        if f"{key}_FILE" not in self.env:
            return value
        value = value.removeprefix("\ufeff").rstrip("\r\n")
        if any(letter in value for letter in "\0\r\n"):
            raise ImproperlyConfigured(f"{key}_FILE names a file with more than one line, or with a NUL.")
        return value


class Environment(environ.FileAwareEnv):  # type: ignore[misc]  # environ has no types
    """Every variable NAME is also read from the file that NAME_FILE names (Docker and Kubernetes secrets)."""

    ENVIRON = Variables()

    def get_value(self, var: str, cast: Any = None, default: Any = None, parse_default: bool = False) -> Any:
        """The value as it is written, even one that begins with `$`; `default` if the variable isn't set."""
        try:
            text = self.ENVIRON[var]
        except KeyError:
            return default
        except OSError as error:
            raise ImproperlyConfigured(f"{var}_FILE names {error.filename}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise ImproperlyConfigured(f"{var}_FILE names a file that is not UTF-8 text.") from error
        if not text.isascii() and text != text.encode(errors="replace").decode():  # other bytes, as Python keeps them
            raise refusal(var, "be UTF-8 text", ascii(text))
        return self.parse_value(text, cast)


env = Environment()


def refusal(name: str, rule: str, value: str) -> ImproperlyConfigured:
    """The error for a variable `name` whose `value` breaks the rule (`be true or false`).

    It quotes the value, shortened, unless that comes from a file: a file may hold a secret.
    """
    file = env.ENVIRON.env.get(f"{name}_FILE")
    value = CREDENTIALS.sub("//…@", value)
    shown = f"what {file} holds" if file else value if len(value) <= LONGEST else f"{value[:LONGEST]}…"
    return ImproperlyConfigured(f"{name} must {rule}, not {shown}.")


def number(name: str, default: float, minimum: float, maximum: float) -> float:
    """The number in the variable `name`. Raises ImproperlyConfigured when it isn't a number between these limits."""
    text = env.str(name, default=str(default))
    try:
        value = float(text)
    except ValueError as error:
        raise refusal(name, "be a number", repr(text)) from error
    if not minimum <= value <= maximum:
        raise refusal(name, f"be at least {minimum:.10g} and at most {maximum:.10g}", f"{value:g}")
    return value


def seconds(name: str, default: float, *, minimum: float = 0, maximum: float = DAY) -> float:
    """The time in the variable `name`; a day is more than anybody means, and every timer takes it."""
    return number(name, default, minimum, maximum)


def whole(name: str, default: int, *, minimum: int = 0, maximum: int = 1_000_000_000) -> int:
    """The whole number in the variable `name`."""
    value = number(name, default, minimum, maximum)
    text = env.str(name, default=str(default)).strip()
    if not WHOLE.fullmatch(text):  # digits only, since other programs read these variables too
        raise refusal(name, "be a whole number", repr(text))
    return int(value)


def flag(name: str, default: bool = False) -> bool:
    """Whether the variable `name` says yes (true, on, 1) or no (false, off, 0, nothing)."""
    text = env.str(name, default=str(default)).strip().lower()
    if text not in {"true", "yes", "on", "1", "false", "no", "off", "0", ""}:
        raise refusal(name, "be true or false", repr(text))
    return text in {"true", "yes", "on", "1"}


def choice(name: str, default: str, known: Sequence[str]) -> str:
    """The one of the `known` words that the variable `name` holds; an empty one means the default."""
    text = str(env.str(name, default="")).strip() or default
    if text not in known:
        raise refusal(name, f"be {', '.join(known[:-1])} or {known[-1]}", repr(text))
    return text


def text(name: str, default: str, *, longest: int) -> str:
    """What the variable `name` holds, of at most `longest` characters."""
    found = str(env.str(name, default=default))
    if len(found) > longest or not found.isprintable():
        raise refusal(name, f"have at most {longest} characters, and no line break", repr(found))
    return found


def cookie_name(name: str, default: str) -> str:
    """The name of a cookie; an empty variable means the default."""
    found = str(env.str(name, default="")).strip() or default
    if not COOKIE_NAME.fullmatch(found):
        raise refusal(name, "hold at most 100 letters, digits, - and _ only", repr(found))
    return found


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """The IP networks (10.0.0.0/8) and addresses in the variable `name`, between commas."""
    parts = [text.strip() for text in env.list(name, default=[]) if text.strip()]
    return tuple(_network(name, part, "hold IP networks like 10.0.0.0/8", strict=False) for part in parts)


def proxies(name: str, default: str) -> str:
    """Addresses and networks of proxies between commas, or `*`, as gunicorn takes them."""
    parts = [part.strip() for part in env.str(name, default=default).split(",") if part.strip()]
    for part in parts:
        if part != "*":
            _network(name, part, "hold IP addresses or networks (with no bits set after the prefix), or *", strict=True)
    return ",".join(parts)


def _network(name: str, text: str, rule: str, *, strict: bool) -> IPv4Network | IPv6Network:
    """The IP network that `text` names; `strict`: it must not be the address of a host in it."""
    try:
        return ip_network(text, strict=strict)
    except ValueError as error:
        raise refusal(name, rule, repr(text)) from error


def hosts(name: str, default: list[str]) -> list[str]:
    """Host names and addresses between commas, as Django's ALLOWED_HOSTS takes them; without any the default."""
    found = [part.strip() for part in env.list(name, default=[]) if part.strip()] or default
    for part in found:
        if not HOST.fullmatch(part):
            rule = "hold names like pacsync.example, .example or *, without scheme and port"
            raise refusal(name, rule, repr(part))
    return found


def origins(name: str) -> list[str]:
    """Origins (https://name or https://name:port) between commas."""
    found = [part.strip() for part in env.list(name, default=[]) if part.strip()]
    for part in found:
        if not ORIGIN.fullmatch(part):
            raise refusal(name, "hold origins like https://pacsync.example", repr(part))
    return found


def address(name: str, default: str) -> str:
    """The http or https address in the variable `name`."""
    text = str(env.str(name, default=default)).strip()
    try:
        parts = urlsplit(text)
        works = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # the port isn't a number
        works = False
    if not works or any(letter.isspace() for letter in text):
        raise refusal(name, f"be an address like {default}", repr(text))
    return text


def file_or_address(name: str, example: str) -> str:
    """What the variable `name` holds: nothing, an http or https address without a user name, or the path of a file.

    A path is absolute, and may have `file:` or `file://` before it.
    """
    text = str(env.str(name, default="")).strip()
    path = unquote(text[5:]).removeprefix("//") if text.lower().startswith("file:") else text
    if not text or (path.startswith("/") and not path.startswith("//") and path.isprintable()):
        return text
    try:
        has_user = "@" in urlsplit(text).netloc
    except ValueError:
        has_user = False
    if has_user:
        raise refusal(name, "be an address without a user name", repr(text))
    if text.startswith("/") or text.lower().startswith("file:"):
        raise refusal(name, "name a file by its whole path, like /srv/all.json", repr(text))
    return address(name, example)


def log_level(name: str) -> str:
    """A level of Python's logging, in capitals; INFO if the variable isn't set."""
    level = env.str(name, default="INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"}:
        raise refusal(name, "be DEBUG, INFO, WARNING, ERROR or CRITICAL", repr(level))
    return str(level)


def every_address() -> str:
    """The host that stands for every address of this machine: `::` if one socket serves IPv6 and IPv4, else 0.0.0.0."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            if probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):  # net.ipv6.bindv6only
                return EVERY_IPV4
            probe.bind(("::1", 0))
    except OSError:  # there is no IPv6, or it is disabled
        return EVERY_IPV4
    return "::"


def listener(name: str, host: str, port: int) -> str:
    """host:port, [host]:port or unix:/path, as gunicorn's bind takes it, for the value of the variable `name`."""
    if host.startswith("unix:"):
        path = host.removeprefix("unix:")
        if path[:1] != "/" or path[-1] == "/" or not path.isprintable() or len(os.fsencode(path)) > SOCKET_PATH:
            rule = f"name a socket by its whole path of at most {SOCKET_PATH} bytes, unix:/run/pacsync.sock"
            raise refusal(name, rule, repr(host))
        return host
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not _is_listener(host):
        raise refusal(name, "be an address, a host name or unix:/path", repr(host))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_listener(host: str) -> bool:
    """Whether a server can try to listen there: an address (IPv6 with or without its zone), or a name."""
    if ":" in host or not host.strip("0123456789."):
        return database_url.is_address(host)
    return len(host) <= LONGEST_HOST and LISTENER.fullmatch(host) is not None


def database(name: str, default: str) -> dict[str, Any]:
    """The database of the URL in the variable `name`, or of its parts, as an entry of Django's DATABASES.

    The message about a wrong URL never quotes it, because it holds a password.
    """
    url = str(env.str(name, default="")).strip()
    parts = {part: text for part in database_url.PARTS if (text := str(env.str(part, default="")))}
    said = {name: url, **parts}
    for variable in (name, *database_url.PARTS):  # a secret that nobody has filled yet must not mean SQLite
        file = os.environ.get(f"{variable}_FILE")
        if file is not None and not said.get(variable):
            raise ImproperlyConfigured(f"{variable}_FILE names {file}, which is empty.")
    if parts.get("DATABASE_PORT", "").startswith(("tcp://", "udp://")):
        del parts["DATABASE_PORT"]  # Kubernetes sets it where a Service is called `database`
    if url and parts:
        raise ImproperlyConfigured(f"Set either {name} or {', '.join(parts)}, not both.")
    if parts:
        return {"ENGINE": "apps.lifecycle.dbpool.postgresql", **database_url.postgresql_parts(parts)}
    url = url or default
    if database_url.is_postgresql(url):
        return {"ENGINE": "apps.lifecycle.dbpool.postgresql", **database_url.postgresql(name, url)}
    try:
        with warnings.catch_warnings():  # a scheme that environ doesn't know: its warning quotes the password
            warnings.simplefilter("ignore")
            found: dict[str, Any] = env.db_url_config(url)
    except ValueError:
        found = {}
    has_path = found.get("NAME") and (found["NAME"] != ":memory:" or ":memory:" in url)
    if found.get("ENGINE") != "django.db.backends.sqlite3" or not has_path:
        raise ImproperlyConfigured(f"{name} {database_url.FORM}")
    if options := found.get("OPTIONS"):
        raise ImproperlyConfigured(f"{name}: SQLite takes no parameters ({', '.join(sorted(options))}).")
    return found
