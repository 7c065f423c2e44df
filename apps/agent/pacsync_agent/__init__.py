"""The endpoint agent: brings one Arch machine to the packages its pool wants, with the real pacman.

Standard library only, Python 3.9 or newer; it is built as one file (apps/agent/build.py). It must not know Django.
"""

__version__ = "1.0.0"
