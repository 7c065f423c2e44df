"""How a variable of the environment is read: its type, its limits, and one clear line when it makes no sense.

It must not know any setting; `pacsync/settings.py` names them. Everything here raises ImproperlyConfigured.
"""

import re
import warnings
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping

from pacsync import database_url

DAY = 86_400  # seconds
WHOLE = re.compile(r"-?[0-9]+")
HOST = re.compile(r"\*|\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[[0-9A-Fa-f:.]+\]")
LISTENER = re.compile(r"[A-Za-z0-9._-]*|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
ORIGIN = re.compile(r"https?://(\*\.)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")


class Variables(FileAwareMapping):  # type: ignore[misc]  # environ has no types
    """A value that comes from a file ends before its last line break, which editors and `echo` put there."""

    def __getitem__(self, key: str) -> str:
        value: str = super().__getitem__(key)
        return value.rstrip("\r\n") if f"{key}_FILE" in self.env else value


class Environment(environ.FileAwareEnv):  # type: ignore[misc]  # environ has no types
    """Every variable NAME is also read from the file that NAME_FILE names (Docker and Kubernetes secrets)."""

    ENVIRON = Variables()

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_value(var, *args, **kwargs)
        except OSError as error:
            raise ImproperlyConfigured(f"{var}_FILE names {error.filename}: {error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise ImproperlyConfigured(f"{var}_FILE names a file that is not UTF-8 text.") from error


env = Environment()


def number(name: str, default: float, minimum: float, maximum: float) -> float:
    """The number in the variable `name`. Raises ImproperlyConfigured when it is none, or outside of these limits."""
    text = env.str(name, default=str(default))
    try:
        value = float(text)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must be a number, not {text!r}.") from error
    if not minimum <= value <= maximum:
        raise ImproperlyConfigured(f"{name} must be at least {minimum:g} and at most {maximum:.10g}, not {value:g}.")
    return value


def seconds(name: str, default: float, *, minimum: float = 0, maximum: float = DAY) -> float:
    """The time in the variable `name`; a day is more than anybody means, and less than what any timer takes."""
    return number(name, default, minimum, maximum)


def whole(name: str, default: int, *, minimum: int = 0, maximum: int = 1_000_000_000) -> int:
    """The whole number in the variable `name`."""
    value = number(name, default, minimum, maximum)
    text = env.str(name, default=str(default)).strip()
    if not WHOLE.fullmatch(text):  # digits alone: other programs read these variables, too
        raise ImproperlyConfigured(f"{name} must be a whole number, not {text!r}.")
    return int(value)


def flag(name: str, default: bool) -> bool:
    """The yes or no in the variable `name`; ImproperlyConfigured when it is neither."""
    text = env.str(name, default=str(default)).strip().lower()
    if text not in {"true", "yes", "on", "1", "false", "no", "off", "0", ""}:
        raise ImproperlyConfigured(f"{name} must be true or false, not {text!r}.")
    return text in {"true", "yes", "on", "1"}


def choice(name: str, default: str, known: Sequence[str]) -> str:
    """The one of the `known` words that the variable `name` holds; an empty one means the default."""
    text = str(env.str(name, default="")).strip() or default
    if text not in known:
        raise ImproperlyConfigured(f"{name} must be {', '.join(known[:-1])} or {known[-1]}, not {text!r}.")
    return text


def networks(name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """The IP networks (10.0.0.0/8) and addresses in the variable `name`, between commas."""
    try:
        return tuple(ip_network(text.strip(), strict=False) for text in env.list(name, default=[]) if text.strip())
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must hold IP networks like 10.0.0.0/8: {error}.") from error


def proxies(name: str, default: str) -> str:
    """Addresses and networks of proxies between commas, or `*`, as gunicorn takes them."""
    parts = [part.strip() for part in env.str(name, default=default).split(",") if part.strip()]
    try:
        for part in parts:
            if part != "*":
                ip_network(part)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} must hold IP addresses or networks, or *: {error}.") from error
    return ",".join(parts)


def hosts(name: str, default: list[str]) -> list[str]:
    """Host names and addresses between commas, as Django's ALLOWED_HOSTS takes them."""
    found = [part.strip() for part in env.list(name, default=default) if part.strip()]
    for part in found:
        if not HOST.fullmatch(part):
            raise ImproperlyConfigured(
                f"{name} must hold names like pacsync.example, .example or *, without scheme and port, not {part!r}."
            )
    return found


def origins(name: str) -> list[str]:
    """Origins (https://name or https://name:port) between commas."""
    found = [part.strip() for part in env.list(name, default=[]) if part.strip()]
    for part in found:
        if not ORIGIN.fullmatch(part):
            raise ImproperlyConfigured(f"{name} must hold origins like https://pacsync.example, not {part!r}.")
    return found


def address(name: str, default: str) -> str:
    """The http or https address in the variable `name`."""
    text = str(env.str(name, default=default)).strip()
    try:
        parts = urlsplit(text)
        works = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is none
        works = False
    if not works or any(letter.isspace() for letter in text):
        raise ImproperlyConfigured(f"{name} must be an address like {default}, not {text!r}.")
    return text


def listener(name: str, host: str, port: int) -> str:
    """host:port, [host]:port or unix:/path, as gunicorn's bind takes it, for the value of the variable `name`."""
    host = host.strip()
    if host.startswith("unix:"):
        if not host.removeprefix("unix:").startswith("/"):
            raise ImproperlyConfigured(
                f"{name} must name a socket by its whole path, unix:/run/pacsync.sock, not {host!r}."
            )
        return host
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not LISTENER.fullmatch(host):
        raise ImproperlyConfigured(f"{name} must be an address, a host name or unix:/path, not {host!r}.")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def database(name: str, default: str) -> dict[str, Any]:
    """The database of the URL in the variable `name`, as an entry of Django's DATABASES: ENGINE, NAME, OPTIONS …

    What it says of a wrong one never quotes the URL: it holds a password.
    """
    url = str(env.str(name, default="") or default).strip()
    if database_url.is_postgresql(url):
        return {"ENGINE": "pacsync.postgresql", **database_url.postgresql(name, url)}
    try:
        with warnings.catch_warnings():  # environ warns of a scheme that it doesn't know, and quotes the password
            warnings.simplefilter("ignore")
            found: dict[str, Any] = env.db_url_config(url)
    except ValueError:
        found = {}
    if found.get("ENGINE") != "django.db.backends.sqlite3" or not found.get("NAME"):
        raise ImproperlyConfigured(f"{name} {database_url.FORM}")
    if options := found.get("OPTIONS"):
        raise ImproperlyConfigured(f"{name}: SQLite takes no parameters ({', '.join(sorted(options))}).")
    return found
