"""gunicorn's graceful_timeout, set while it runs. It must not know who sets it or how long anything may take."""

from typing import Any


def set_graceful_timeout(cfg: Any, seconds: float) -> None:
    """Set it with fractions of a second; `cfg.set` takes whole ones only."""
    cfg.settings["graceful_timeout"].value = seconds
