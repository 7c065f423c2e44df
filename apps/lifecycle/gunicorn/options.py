"""gunicorn's own options on the command line and in GUNICORN_CMD_ARGS: taken over, left alone, or refused.

The settings decide how connections, slots and requests are divided, so an option that means the same as a setting
becomes that setting, before the settings are read. It must not know the settings or import Django. It raises nothing:
a refused option ends the process with one line.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from gunicorn import util
from gunicorn.config import Config

WORKER = "apps.lifecycle.gunicorn.worker.worker.Worker"
APPLICATION = "pacsync.wsgi"
COMMAND_ARGUMENTS = "GUNICORN_CMD_ARGS"
ASKED_PORT = "PACSYNC_ASKED_PORT"  # set by this module for the second start

# --- The table: every option of gunicorn is in one of the three (tests/lifecycle/test_options.py) --------------------
# These are settings of ours under another name.
TAKEN_OVER = {
    "bind": "HTTP_HOST and HTTP_PORT",
    "workers": "WEB_CONCURRENCY",
    "threads": "WEB_THREADS",
    "max_requests": "WEB_MAX_REQUESTS",
    "keepalive": "WEB_KEEPALIVE",
    "graceful_timeout": "SHUTDOWN_TIMEOUT",
    "preload_app": "PRELOAD_APP",
    "forwarded_allow_ips": "FORWARDED_ALLOW_IPS",
    "loglevel": "LOG_LEVEL",
    "raw_env": "the environment",
}
# These change nothing that PacSync relies on.
LEFT_ALONE = {
    "backlog", "worker_connections", "max_requests_jitter", "limit_request_line", "limit_request_fields",
    "limit_request_field_size", "reload_engine", "reload_extra_files", "spew", "check_config", "print_config",
    "sendfile",
    "pidfile", "worker_tmp_dir", "user", "group", "umask", "initgroups", "capture_output", "enable_stdio_inheritance",
    "disable_redirect_access_to_syslog", "proc_name", "pythonpath", "http_parser",
    "control_socket_disable",
}  # fmt: skip
LOGS = "PacSync logs to standard output: set STRUCTURED_LOGGING, ACCESS_LOG and LOG_LEVEL, and redirect it"
METRICS = "PacSync's numbers are at /metrics"
TLS = "TLS ends at a proxy in front: set BEHIND_HTTPS_PROXY"
PROTOCOL = "PacSync speaks HTTP/1.1, and a proxy in front whatever else"
PARSING = "it weakens what is checked of a request"
ASGI = "it is for ASGI workers, and PacSync's is a WSGI worker"
DIRTY = "PacSync has no such workers"
CONTROL = "the control socket is off; use signals"
REFUSED = {
    "config": "PacSync's own deploy/gunicorn.conf.py is needed; set the environment instead (docs/configuration.md)",
    "worker_class": f"PacSync needs its own worker, {WORKER}",
    "timeout": "a worker needs up to 10 seconds to load; give at least 10, or 0 for no limit",
    "reload": "it cuts requests off, and is for ENVIRONMENT=development; send SIGHUP instead",
    "daemon": "PacSync runs in the foreground; systemd or a container engine puts it in the background",
    "reuse_port": "workers share one socket, so that none of them loses a connection when it ends",
    "chdir": "PacSync runs in its own folder",
    "paste": "PacSync isn't a Paste application", "raw_paste_global_conf": "PacSync isn't a Paste application",
    "root_path": "PacSync is served at the root of its address",
    "proxy_protocol": "clients' addresses come from X-Forwarded-For: set FORWARDED_ALLOW_IPS",
    "proxy_allow_ips": "clients' addresses come from X-Forwarded-For: set FORWARDED_ALLOW_IPS",
    **dict.fromkeys(("accesslog", "access_log_format", "errorlog", "logger_class", "logconfig", "logconfig_json",
                     "syslog", "syslog_addr", "syslog_prefix", "syslog_facility"), LOGS),
    **dict.fromkeys(("statsd_host", "statsd_prefix", "dogstatsd_tags", "enable_backlog_metric"), METRICS),
    **dict.fromkeys(("keyfile", "certfile", "ssl_version", "cert_reqs", "ca_certs", "suppress_ragged_eofs",
                     "do_handshake_on_connect", "ciphers"), TLS),
    **dict.fromkeys(("protocol", "uwsgi_allow_ips", "http_protocols", "http2_cleartext", "http2_max_concurrent_streams",
                     "http2_initial_window_size", "http2_max_frame_size", "http2_max_header_list_size"), PROTOCOL),
    **dict.fromkeys(("permit_obsolete_folding", "strip_header_spaces", "permit_unconventional_http_method",
                     "permit_unconventional_http_version", "casefold_http_method", "forwarder_headers", "header_map"),
                    PARSING),
    **dict.fromkeys(("asgi_loop", "asgi_lifespan", "asgi_disconnect_grace_period", "websocket_max_message_size"), ASGI),
    **dict.fromkeys(("dirty_apps", "dirty_workers", "dirty_timeout", "dirty_threads", "dirty_graceful_timeout"), DIRTY),
    **dict.fromkeys(("control_socket", "control_socket_mode"), CONTROL),
}  # fmt: skip
# Values that a refused option may still have, because PacSync does that anyway.
ALLOWED: dict[str, Callable[[Any], bool]] = {
    "worker_class": lambda value: value in (WORKER, "gthread"),
    "timeout": lambda value: int(value) == 0 or int(value) >= 10,
    "reload": lambda value: os.environ.get("ENVIRONMENT") in ("development", "test"),
    "accesslog": lambda value: value == "-",
    "errorlog": lambda value: value == "-",
    "protocol": lambda value: value == "http",
    "http_protocols": lambda value: value == "h1",
    "header_map": lambda value: value in ("drop", "refuse"),
}


# --- Applying it ------------------------------------------------------------------------------------------------------
def take_over(configuration: str, arguments: list[str] | None = None) -> None:
    """Turn the options into settings. If there were any, start gunicorn again without them.

    `configuration` is the path of our gunicorn.conf.py, `arguments` those of the command line. The process id stays the
    same: whatever started this sees one program.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    _make_absolute(configuration)
    given, words = read(arguments, os.environ.get(COMMAND_ARGUMENTS, ""))
    check(given, configuration, arguments)
    if words and words[0].partition(":")[0] != APPLICATION and os.environ.get("ENVIRONMENT") != "test":
        refuse(words[0], f"PacSync's application is {APPLICATION}:application")
    if not any(name in TAKEN_OVER or name == "worker_class" for name in given):
        return
    os.environ[ASKED_PORT] = str(asked_port())
    for name, value in variables(given).items():
        os.environ[name] = value
        os.environ.pop(f"{name}_FILE", None)
    os.environ.pop(COMMAND_ARGUMENTS, None)
    kept = {name: value for name, value in given.items() if name in LEFT_ALONE or name in ("reload", "timeout")}
    sys.stdout.flush()
    command = [sys.executable, "-m", "gunicorn", *words, "--config", configuration, *written(kept)]
    os.execv(sys.executable, command)  # noqa: S606 - no shell


def _make_absolute(configuration: str) -> None:
    """At a reload gunicorn reads its arguments again, in another folder than it was started in."""
    for index, text in enumerate(sys.argv):
        option, _, path = text.rpartition("=") if text.startswith("--config=") else ("", "", text)
        if path and not Path(path).is_absolute() and Path(path).resolve() == Path(configuration).resolve():
            sys.argv[index] = (
                f"{option}={Path(configuration).resolve()}" if option else str(Path(configuration).resolve())
            )


def asked_port() -> int:
    """HTTP_PORT before an option changed it: the only port that other commands of this container or user know."""
    text = (os.environ.get(ASKED_PORT) or os.environ.get("HTTP_PORT", "")).strip() or "8080"
    return int(text) if text.isdecimal() else 0


def read(arguments: list[str], from_environment: str) -> tuple[dict[str, Any], list[str]]:
    """(Options by gunicorn's names for them, the other arguments). The command line overrides the environment.

    gunicorn has already parsed both, so this can't fail.
    """
    parser = Config().parser()
    given: dict[str, Any] = {}
    words: list[str] = []
    for part in (shlex.split(from_environment), arguments):
        found = vars(parser.parse_args(part))
        words = found.pop("args") or words
        given |= {name: value for name, value in found.items() if value is not None}
    return given, words


def check(given: dict[str, Any], configuration: str, arguments: list[str]) -> None:
    """End the process if an option is refused."""
    for name, value in given.items():
        if name == "config":
            continue
        allowed = name not in REFUSED or (name in ALLOWED and ALLOWED[name](value))
        if not allowed:
            refuse(flag(name), REFUSED[name])
        if name not in TAKEN_OVER and name not in LEFT_ALONE and name not in REFUSED:
            refuse(flag(name), "this version of PacSync doesn't know it")
    for named in configurations([*arguments, *shlex.split(os.environ.get(COMMAND_ARGUMENTS, ""))]):
        if Path(named.removeprefix("file:")).resolve() != Path(configuration).resolve():
            refuse(f"--config {named}", REFUSED["config"])


def configurations(arguments: list[str]) -> list[str]:
    """Every value of --config; gunicorn itself keeps only the last one."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-c", "--config", action="append", default=[])
    return list(parser.parse_known_args(arguments)[0].config)


def variables(given: dict[str, Any]) -> dict[str, str]:
    """The environment variables that mean the same as the options of TAKEN_OVER."""
    for text in given.get("raw_env", []):
        if "=" not in text:
            refuse(f"--env {text}", "it must be NAME=value")
    found = dict(text.split("=", 1) for text in given.get("raw_env", []))
    for name, variable in TAKEN_OVER.items():
        if name in given and name not in ("bind", "raw_env"):
            found[variable] = str(given[name])
    if "bind" in given:
        found |= address(given["bind"])
    return found


def address(given: list[str]) -> dict[str, str]:
    """HTTP_HOST and HTTP_PORT for what --bind says. Ends the process if it isn't one address."""
    if len(given) != 1:
        refuse("--bind", f"PacSync listens on one address, not on {len(given)}; a wildcard address is one")
    try:
        where = util.parse_address(given[0]) if given[0].strip().removeprefix("unix:") else None
    except (ValueError, RuntimeError):
        where = None
    if where is None:
        refuse("--bind", f"{given[0]!r} is not an address like 127.0.0.1:8080, [::1]:8080 or unix:/run/pacsync.sock")
    if isinstance(where, int):
        refuse("--bind", "a socket that is inherited comes from systemd (deploy/systemd), not by its number")
    if isinstance(where, str):
        return {"HTTP_HOST": f"unix:{os.path.abspath(where)}"}
    return {"HTTP_HOST": where[0], "HTTP_PORT": str(where[1])}


def written(given: dict[str, Any]) -> list[str]:
    """These options as arguments."""
    found: list[str] = []
    for name, value in given.items():
        setting = Config().settings[name]
        if setting.action in ("store_true", "store_const", "store_false"):
            found.append(flag(name))
        else:
            found += [f"{flag(name)}={one}" for one in (value if isinstance(value, list) else [value])]
    return found


def flag(name: str) -> str:
    """The long form of the option."""
    return str(next(text for text in Config().settings[name].cli if text.startswith("--")))


def refuse(what: str, why: str) -> NoReturn:
    sys.exit(f"pacsync: {what} is refused: {why}.")


def require_our_configuration() -> None:
    """End a worker of a gunicorn that runs without our configuration: nothing would drain, and each worker would have
    the whole budget of database connections. Other WSGI servers have one process, and may run without it."""
    if "gunicorn.arbiter" in sys.modules and "apps.lifecycle.gunicorn.master_hooks" not in sys.modules:
        print(f"pacsync: gunicorn was started without --config deploy/gunicorn.conf.py: {REFUSED['config']}.",
              file=sys.stderr, flush=True)  # fmt: skip
        raise SystemExit(3)  # gunicorn's WORKER_BOOT_ERROR: the master ends too
