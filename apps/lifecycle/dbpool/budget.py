"""Divides a budget of connections among workers. Plain arithmetic; it must not know about a database."""


def share(total: int, workers: int, slot: int) -> int:
    """What the worker in `slot` gets of `total`: equal parts that add up to it, with the remainder in the lowest slots.

    A surplus worker (one that a reload started before the old one ended) gets as much as the one it replaces.
    """
    part, remainder = divmod(total, workers)
    return part + (slot % workers < remainder)
