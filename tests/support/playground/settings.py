"""The project's settings with the playground's views."""

from pacsync.settings import *  # noqa: F403
from pacsync.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.support.playground.apps.PlaygroundConfig"]
MIDDLEWARE = [name for name in MIDDLEWARE if "whitenoise" not in name]
ROOT_URLCONF = "tests.support.playground.urls"
