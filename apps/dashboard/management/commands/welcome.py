"""`manage.py welcome`: the first information for a person who starts the development server (deploy/run.sh)."""

import socket
from contextlib import suppress
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from apps.fleet import endpoint_manager, enrolment
from apps.fleet.models import EnrolmentCode
from apps.lifecycle import ports

TEXT = """
  PacSync {version} is starting.

  Dashboard      {local}/
  Health         {local}/health/detailed
  API            {local}/api/v1/docs
{reach}{admin}
  Enrol a machine with this command, which also keeps its agent running. The machine may then set its pool's target.
  The code is valid for {uses} machines and {hours} hours, but only until the next `make run`:
{warning}
    {command}

  Ctrl-C stops it.
"""
ADMIN = """
  The first administrator, in another terminal:
    {manage} createsuperuser
"""
ALONE = """
  It listens on {host}, for this machine alone. For others, too: make run HTTP_HOST=0.0.0.0
"""
EVERYBODY = """
  WARNING: it listens on {host}, so other machines reach it, over plain HTTP: whoever is between can read and change
  everything. Without HTTP_HOST it is for this machine alone.
"""
WARNS = "  (It warns first that this is plain HTTP.)\n"
ACTOR = "make run"
HOURS, USES = 24, 10


class Command(BaseCommand):
    help = "Print the addresses of the server, and how to create the first administrator and enrol a machine."

    def handle(self, *args: Any, **options: Any) -> None:
        reason = ports.why_unusable(settings.HTTP_HOST, settings.HTTP_PORT)
        if reason:
            raise CommandError(reason)
        url = f"http://{_bracketed(remote_host())}:{settings.HTTP_PORT}"
        has_admin = get_user_model()._default_manager.filter(is_superuser=True).exists()
        self.stdout.write(
            TEXT.format(
                version=settings.VERSION,
                local=f"http://{_bracketed(local_host())}:{settings.HTTP_PORT}",
                command=enrolment.command(url, _new_code()),
                reach=_reach(settings.HTTP_HOST),
                warning=WARNS if enrolment.is_unprotected(url) else "",
                admin="" if has_admin else ADMIN.format(manage=settings.MANAGE_COMMAND),
                uses=USES,
                hours=HOURS,
            )
        )


def _new_code() -> str:
    """A new code. Those of earlier starts are deleted: nobody can see their texts again."""
    for former in EnrolmentCode.objects.filter(author=ACTOR):
        endpoint_manager.delete_enrolment_code(code=former, actor=ACTOR)
    _, text = endpoint_manager.create_enrolment_code(
        actor=ACTOR, valid_for=timedelta(hours=HOURS), uses=USES, may_set_targets=True
    )
    return text


def _reach(host: str) -> str:
    """Who reaches a server that listens there; empty for a Unix socket, which has a file's mode."""
    if host.startswith("unix:"):
        return ""
    alone = enrolment.is_loopback(f"http://{_bracketed(host)}")
    return (ALONE if alone else EVERYBODY).format(host=host)


def local_host() -> str:
    """The host name that this machine can reach the server by."""
    return "localhost" if settings.HTTP_HOST in {"0.0.0.0", "::", "127.0.0.1", "::1"} else str(settings.HTTP_HOST)  # noqa: S104


def remote_host() -> str:
    """The address that other machines can reach the server by, as far as this machine knows."""
    if settings.HTTP_HOST not in {"0.0.0.0", "::"}:  # noqa: S104
        return str(settings.HTTP_HOST)
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))  # sends nothing: it only asks the kernel which address it would use
            return str(probe.getsockname()[0])
    return "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
