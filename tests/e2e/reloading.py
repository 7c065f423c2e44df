"""Which workers a server has, and what it says of a reload that it refuses. It must not know why they are replaced."""

from tests.support.playground import Playground

SLOW_LOAD = 4  # seconds for which a worker of these tests loads
REFUSED = "reload refused: "


def workers(server: Playground) -> set[int]:
    return {worker["pid"] for worker in server.workers()}


def refusals(server: Playground) -> list[str]:
    return [line["message"] for line in server.lines() if line["message"].startswith(REFUSED)]


def replaced(server: Playground, old: set[int], count: int) -> bool:
    now = workers(server)
    return not old & now and len(now) == count
