"""A fleet to look at: made-up machines with real package names. For `make demo`, page tests and benchmarks.

It is no part of the server: nothing in `apps` or `pacsync` may import it, and the image doesn't hold it
(docs/adr/0042-a-fleet-to-look-at.md).
"""
