"""How a budget of connections is shared out over workers. Plain arithmetic; it knows no database."""


def share(total: int, workers: int, slot: int) -> int:
    """What the worker in `slot` gets of `total`: equal parts, the remainder to the lowest slots, all of it in sum.

    A surplus worker (one that a reload started before the old one ended) gets what the one it replaces has.
    """
    part, remainder = divmod(total, workers)
    return part + (slot % workers < remainder)
