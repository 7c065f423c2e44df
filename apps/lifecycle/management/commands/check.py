"""Django's `check`, which also loads everything that a server loads at its start. It must not know what that is."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import check

from apps.lifecycle import preloading


class Command(check.Command):
    """With names of apps, tags or --database it does only what Django's does."""

    def handle(self, *app_labels: Any, **options: Any) -> None:
        if not app_labels and not any(options[name] for name in ("tags", "list_tags", "databases")):
            try:
                preloading.load()
            except preloading.ReleaseBroken as error:
                raise CommandError(str(error), returncode=preloading.EXIT) from error
        super().handle(*app_labels, **options)
