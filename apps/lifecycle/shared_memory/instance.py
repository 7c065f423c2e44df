"""Who this instance is: its id, name and age, the same in every worker. It must not know the database or HTTP."""

import socket
import time
import uuid

from django.conf import settings

from apps.lifecycle.shared_memory import memory, phase


def identity() -> uuid.UUID:
    """New with every start."""
    return memory.current().identity


def name() -> str:
    """INSTANCE_NAME, else host:port."""
    port = memory.current().header.port or settings.HTTP_PORT
    return str(settings.INSTANCE_NAME) or f"{socket.gethostname()}:{port}"


def started() -> float:
    """When the instance started, in Unix seconds."""
    return phase.wall(memory.current().header.started)


def uptime_seconds() -> float:
    return time.monotonic() - memory.current().header.started
