"""Builds the agent as one file: a zip archive that Python runs. The same sources give the same bytes everywhere.

The units and the hook of deploy/arch are in it: `pacsync-agent service install` writes them.

It must not know who asks for it. `python -m apps.agent.build PATH` writes it without Django.
"""

import io
import sys
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
            _add(archive, path.relative_to(ROOT).as_posix(), path.read_bytes())
        _add(archive, "__main__.py", MAIN.encode())
    return content.getvalue()


def _add(archive: zipfile.ZipFile, name: str, text: bytes) -> None:
    member = zipfile.ZipInfo(name, TIME)
    member.compress_type = zipfile.ZIP_STORED  # compressors differ from one zlib to the next
    member.create_system = 3  # Unix, wherever it is built
    member.external_attr = 0o100644 << 16
    archive.writestr(member, text.replace(b"\r\n", b"\n"))


def write(path: Path) -> None:
    """Write the agent to `path`, executable. Raises OSError."""
    path.write_bytes(build())
    path.chmod(0o755)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
