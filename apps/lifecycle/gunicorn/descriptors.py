"""How many connections a worker takes: as many as its descriptors allow. It must not know what they are for."""

import resource

MOST = 8192  # connections; each takes a descriptor and some memory of the worker
FEWEST = 1000  # gunicorn's own default
RESERVED = 512  # descriptors for the database, files, and bodies and answers that are kept in files


def connections() -> int:
    """The limit for one worker. Beyond it a new connection ends another one, whose client gets no answer."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if limit == resource.RLIM_INFINITY else max(FEWEST, min(MOST, limit - RESERVED))
