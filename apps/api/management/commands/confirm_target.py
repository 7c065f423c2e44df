"""`manage.py confirm_target`: automatic sync continues after the database was restored from a backup."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.api.management.console import ACTOR, clear_errors
from apps.fleet import pool_manager
from apps.fleet.models import Pool
from apps.lifecycle.management.output import TellingCommand


class Command(TellingCommand):
    help = "Confirm the current target of pools whose automatic sync is paused because endpoints have seen a newer one."
    example = "web"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("pool", nargs="?", metavar="POOL", help="the pool; without it, the paused ones are listed")
        parser.add_argument("--all", action="store_true", help="confirm the target of every paused pool")

    def handle(self, *args: Any, pool: str | None, all: bool, **options: Any) -> None:
        if pool is not None and all:
            raise CommandError("Name a pool, or give --all, not both.")
        with clear_errors():
            paused = Pool.objects.select_related("target").order_by("name")
            if pool is None:
                paused = paused.filter(paused_since__isnull=False)
            elif not (paused := paused.filter(name=pool)).exists():
                raise CommandError(f"There is no pool {pool!r}.")
            confirming = all or pool is not None
            pools = [(one.name, self._confirmed(one) if confirming else _described(one)) for one in paused]
        document = {"pools": [{"pool": name, "message": line} for name, line in pools], "confirmed": confirming}
        self.tell(options, document, [line for _, line in pools] or ["No pool has automatic sync paused."])

    def _confirmed(self, pool: Pool) -> str:
        if pool.paused_since is None:
            return f"{pool.name}: automatic sync is not paused; nothing was changed."
        confirmed = pool_manager.confirm(pool=pool, actor=ACTOR)
        target = f"target #{confirmed.target.number}" if confirmed.target else "no target"
        return f"{pool.name}: confirmed, {target}."


def _described(pool: Pool) -> str:
    seen = pool.paused_by or {}
    target = f"target #{pool.target.number}" if pool.target else "no target"
    return f"{pool.name}: {target} here; endpoint {seen.get('endpoint')} has seen #{seen.get('number')}."
