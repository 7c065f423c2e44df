#!/usr/bin/env python
"""The command line: Django's, and `healthcheck` before Django is loaded. It knows nothing but two names."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")
    if sys.argv[1:2] == ["healthcheck"]:
        from apps.health import healthcheck

        sys.exit(healthcheck.main(sys.argv[2:]))
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        settings.DATABASES  # noqa: B018 - reads the settings: a senseless one is one line here, not a traceback
    except ImproperlyConfigured as error:
        sys.exit(f"pacsync: {error}")
    execute_from_command_line(sys.argv)
