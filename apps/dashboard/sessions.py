"""Removes the sessions that have expired: Django leaves their rows in the database. It must not know who logs in."""

from importlib import import_module

from django.conf import settings

CLEAR_SECONDS = 3600


def clear_expired() -> None:
    """Delete every session past its end (SESSION_COOKIE_AGE, two weeks after it was last changed)."""
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
