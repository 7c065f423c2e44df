"""How many connections a worker takes: as many as its descriptors allow. It must not know what they are for."""

import resource

MOST = 8192  # connections; each takes a descriptor and some memory of the worker
FEWEST = 1000  # gunicorn's own default
RESERVED = 512  # descriptors for the database, files, and bodies and answers that are kept in files


class TooFew(Exception):
    """The process may not have as many descriptors as its settings need. The text says what to do."""


def connections(requests: int) -> int:
    """The limit for one worker. Beyond it a new connection ends another one, whose client gets no answer.

    Raises the process's soft limit of descriptors, as far as its hard limit allows: systemd and shells give 1,024 and
    leave it to a server to ask for more. `requests` are at most in progress or waiting: each has a connection. Raises
    TooFew if probes and idle clients would have none.
    """
    limit = _raised(MOST + RESERVED)
    found = max(FEWEST, min(MOST, limit - RESERVED))
    if requests > found - FEWEST // 10:
        raise TooFew(
            f"WEB_REQUEST_LIMIT and WEB_QUEUE_SIZE ({requests} together) need almost all of the {found} connections "
            f"that {limit} file descriptors allow. Raise the hard limit (ulimit -H -n, LimitNOFILE= in systemd, "
            f"ulimits: nofile in Compose) to {MOST + RESERVED}, or lower WEB_QUEUE_SIZE."
        )
    return found


def _raised(wanted: int) -> int:
    """The soft limit, raised to what is wanted if the hard limit allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    new = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
    return new
