"""Who this instance is: its id, name and age, the same in every worker. It knows neither the database nor HTTP."""

import socket
import time
import uuid

from django.conf import settings

from apps.lifecycle import memory, phase


def identity() -> uuid.UUID:
    """New with every start."""
    return memory.current().identity


def name() -> str:
    """INSTANCE_NAME, else host:port."""
    port = memory.current().integers[memory.PORT] or settings.HTTP_PORT
    return str(settings.INSTANCE_NAME) or f"{socket.gethostname()}:{port}"


def started() -> float:
    """When the instance started, in Unix seconds."""
    return phase.wall(memory.current().floats[memory.STARTED])


def uptime_seconds() -> float:
    return time.monotonic() - memory.current().floats[memory.STARTED]
