"""The .MTREE of a hand-made package, as makepkg writes it. It must not know what the package is for."""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

from tests.support.archives import SECOND


def with_mtree(files: Mapping[str, bytes | str], modes: Mapping[str, int] | None = None) -> dict[str, bytes | str]:
    """The files of a package (a str is the target of a link) and their .MTREE; `modes` as in `tar_bytes`."""
    modes = modes or {}
    lines = ["#mtree", f"/set type=file uid=0 gid=0 mode=644 time={SECOND}.0"]
    parents = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    lines += [f"./{quoted(name)} type=dir mode={modes.get(name, 0o755):o}" for name in parents]
    for name, data in sorted(files.items()):
        if isinstance(data, str):
            lines.append(f"./{quoted(name)} type=link mode=777 link={quoted(data)}")
        else:
            digests = f"md5digest={hashlib.md5(data).hexdigest()} sha256digest={hashlib.sha256(data).hexdigest()}"  # noqa: S324
            lines.append(f"./{quoted(name)} mode={modes.get(name, 0o644):o} size={len(data)} {digests}")
    return {".MTREE": gzip.compress("\n".join([*lines, ""]).encode(), mtime=0), **files}


def quoted(path: str) -> str:
    """As vis(3) does it, and libarchive."""
    plain = {char for char in map(chr, range(0x21, 0x7F)) if char not in "\\#=*?["}
    return "".join(char if char in plain else "".join(f"\\{byte:03o}" for byte in char.encode()) for char in path)
