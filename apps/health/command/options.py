"""The options and the help text of the `healthcheck` command. Standard library only.

It must not know what the command does with them.
"""

import argparse

COMPONENTS = (
    "database",
    "database_writes",
    "dbpool",
    "migrations",
    "pool_manager",
    "sync_coordinator",
    "endpoint_manager",
)

DESCRIPTION = """Tell whether the server is ready, by its exit code and in one line.

Without --url this process checks the configuration itself: the settings, the database, the migrations and each
dependency. With --url it asks a running instance, and starts quickly because it doesn't load the settings."""
EPILOG = """exit codes:
  0  ready (with --component: the component works)
  1  not ready; the line says why
  2  could not be determined: nobody answers at the URL, the settings are broken, an unknown component or option

examples:
  manage.py healthcheck --url                        the instance on this machine, for a container's health check
  manage.py healthcheck --url http://10.0.0.5:8080   another one
  manage.py healthcheck --wait 60 && next-step       in a script: continue once the database is there and migrated
  manage.py healthcheck --component database --format json"""


def seconds(text: str) -> float:
    """A number of seconds that isn't negative, and isn't too long for a wait."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 1000000 at most, not {text!r}")
    return value


def positive_seconds(text: str) -> float:
    """The same, but not 0: nothing can be found out in no time."""
    value = seconds(text)
    if not value:
        raise argparse.ArgumentTypeError("must be more than 0 seconds")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--url",
        nargs="?",
        const="",
        metavar="URL",
        help="ask the running instance at URL (without a value: the one on this machine, wherever it listens)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="one line (default), or JSON")
    parser.add_argument(
        "--wait", type=seconds, default=0.0, metavar="SECONDS", help="try again until it is ready, at most this long"
    )
    parser.add_argument(
        "--timeout", type=positive_seconds, default=5.0, metavar="SECONDS", help="how long one try may take (default 5)"
    )
    parser.add_argument("--component", metavar="NAME", help=f"only this component, one of {', '.join(COMPONENTS)}")
    parser.add_argument(
        "--token-file", metavar="FILE", help="API token for --url with --component where HEALTH_DETAIL is private"
    )


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="manage.py healthcheck",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_arguments(made)
    return made
