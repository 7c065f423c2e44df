"""A made-up fleet with real package names, for `make demo`, tests of pages and benchmarks.

It isn't a part of the server: nothing in `apps` or `pacsync` may import it, and the image doesn't contain it
(docs/adr/0042-a-fleet-to-look-at.md).
"""
