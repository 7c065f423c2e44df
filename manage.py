#!/usr/bin/env python
"""The command line: Django's, and `healthcheck` before Django is loaded. It knows nothing but three names."""

import os
import sys
import traceback

# Commands whose exit code 1 is an answer: whatever goes wrong before they run is another one.
FAILURE = {"fleet": 2}

if __name__ == "__main__":
    failure = FAILURE.get(sys.argv[1] if len(sys.argv) > 1 else "", 1)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")
    if sys.argv[1:2] == ["healthcheck"]:
        from apps.health.command import healthcheck

        sys.exit(healthcheck.main(sys.argv[2:]))
    try:
        from django.conf import settings
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line

        try:
            settings.DATABASES  # noqa: B018 - reads the settings: a senseless one is one line here, not a traceback
        except ImproperlyConfigured as error:
            print(f"pacsync: {error}", file=sys.stderr)
            sys.exit(failure)
        execute_from_command_line(sys.argv)
    except Exception:
        traceback.print_exc()
        sys.exit(failure)
