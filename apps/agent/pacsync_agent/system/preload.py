"""Loads what Python would load later: a sync may replace Python itself, and its old library is gone then.

It must not know what the modules are needed for.
"""

from __future__ import annotations

import importlib

# Loaded on first use by the standard library: host names, texts, HTTP answers, tracebacks, archives.
LAZY = (
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.utf_8",
    "email.parser",
    "email.feedparser",
    "http.client",
    "ssl",
    "stringprep",
    "traceback",
    "linecache",
    "tokenize",
    "compression.zstd",
    "zstandard",
    "bz2",
    "lzma",
    "zlib",
)


def everything() -> None:
    """Load them; a Python that lacks one doesn't need it."""
    for name in LAZY:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
