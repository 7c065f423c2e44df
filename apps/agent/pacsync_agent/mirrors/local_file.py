"""Opens files of `file://` mirrors of the machine's own pacman.conf: regular files only.

It must not know packages. The caller has checked that the address is the machine's own.
"""

from __future__ import annotations

import errno
import os
import stat
import urllib.parse
import urllib.request
from typing import BinaryIO


class NotUsable(Exception):
    """The file can't be used; the text says why in our own words, without the system's message.

    `fails`: a temporary failure, for example of a network file system: the file itself may be fine.
    """

    def __init__(self, reason: str, *, fails: bool = False) -> None:
        super().__init__(reason)
        self.fails = fails


def open_regular(url: str) -> tuple[BinaryIO, int]:
    """The open file of a `file://` address, and its size in bytes. Raises NotUsable.

    A link is resolved first, and must lead to a file of the same name: mirrors keep their packages in a pool and link
    them. The file is then opened without following links, and without waiting for a writer.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in {"", "localhost"}:
        raise NotUsable("it is a file of another host")
    path = urllib.request.url2pathname(parts.path)
    try:
        resolved = os.path.realpath(path)
        if os.path.basename(resolved) != os.path.basename(path):
            raise NotUsable("it is a link to something else")
        handle = os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise NotUsable("not there") from None
    except (OSError, ValueError) as error:
        fails = getattr(error, "errno", None) in {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN}
        raise NotUsable("it can't be opened", fails=fails) from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise NotUsable("it is not a regular file")
    return os.fdopen(handle, "rb"), found.st_size
