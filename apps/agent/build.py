"""Builds the agent as one file: a zip archive that Python runs. The same sources give the same bytes everywhere.

The units and the hook of deploy/arch are in it: `pacsync-agent service install` writes them.

It must not know who asks for it. `python -m apps.agent.build [--compiled] PATH` writes it without Django.
"""

import argparse
import importlib.util
import io
import marshal
import zipfile
from pathlib import Path

from apps.agent.pacsync_agent.service.service_files import NAMES, SOURCE

ROOT = Path(__file__).resolve().parents[2]
SHEBANG = b"#!/usr/bin/env python3\n"
MAIN = "from apps.agent.pacsync_agent.cli.main import main\n\nraise SystemExit(main())\n"
# The packages above are needed for their names only.
SOURCES = (
    "apps/__init__.py",
    "apps/agent/__init__.py",
    "apps/fleet/__init__.py",
    "apps/agent/pacsync_agent/**/*.py",
    "apps/fleet/alpm/*.py",
)
CARRIED = [ROOT / SOURCE / name for name in NAMES]
# A fixed time for every member, the earliest that zip knows.
TIME = (1980, 1, 1, 0, 0, 0)


def build() -> bytes:
    """The bytes of `pacsync-agent`: a shebang line, then the zip. Raises OSError where a part is missing."""
    content = io.BytesIO()
    content.write(SHEBANG)
    with zipfile.ZipFile(content, "w") as archive:
        paths = sorted(path for pattern in SOURCES for path in ROOT.glob(pattern))
        for path in [*paths, *CARRIED]:
            _add(archive, path.relative_to(ROOT).as_posix(), path.read_bytes().replace(b"\r\n", b"\n"))
        _add(archive, "__main__.py", MAIN.encode())
    return content.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    member = zipfile.ZipInfo(name, TIME)
    member.compress_type = zipfile.ZIP_STORED  # compressors differ from one zlib to the next
    member.create_system = 3  # Unix, wherever it is built
    member.external_attr = 0o100644 << 16
    archive.writestr(member, content)


def write(path: Path, *, compiled: bool = False) -> None:
    """Write the agent to `path`, executable; `compiled`: with bytecode for this version of Python. Raises OSError."""
    path.write_bytes(build())
    if compiled:
        compile_for_this_python(path)
    path.chmod(0o755)


def compile_for_this_python(path: Path) -> None:
    """Put the bytecode of each module beside it: to compile the modules is most of what a start costs.

    Only this version of Python takes it, and only while the hash in it is that of the source. Another one compiles the
    source as if there were no bytecode.
    """
    checked_by_hash = (0b11).to_bytes(4, "little")  # PEP 552
    with zipfile.ZipFile(path, "a") as archive:
        for name in [name for name in archive.namelist() if name.endswith(".py")]:
            source = archive.read(name)
            head = importlib.util.MAGIC_NUMBER + checked_by_hash + importlib.util.source_hash(source)
            _add(archive, f"{name}c", head + marshal.dumps(compile(source, name, "exec")))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m apps.agent.build", description=__doc__)
    parser.add_argument("--compiled", action="store_true", help="with the bytecode for this version of Python")
    parser.add_argument("path", type=Path)
    given = parser.parse_args()
    write(given.path, compiled=given.compiled)
