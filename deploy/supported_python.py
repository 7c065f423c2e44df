"""Ends with one line if this interpreter is outside of `requires-python` in pyproject.toml.

With the folder of a virtual environment as argument, also if that was made with another version: an upgrade of the
system replaces the interpreter, and leaves the packages of the old one. It must run on any Python 3, so it uses no
package and no newer module: tomllib came with 3.11.
"""

import re
import sys
from pathlib import Path

text = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8")
[(oldest, end)] = re.findall(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', text, re.MULTILINE)
this = "{}.{}".format(*sys.version_info)
remedy = f"Name one of these, for example: make run PYTHON=python3.{int(end) - 1}"
venv = sys.argv[1] if len(sys.argv) > 1 else ""
if venv:
    remedy = f"Delete {venv}. {remedy}"
if not (3, int(oldest)) <= sys.version_info[:2] < (3, int(end)):
    sys.exit(
        f"{sys.executable} is Python {sys.version.split()[0]}; PacSync runs on Python 3.{oldest} to 3.{int(end) - 1}. "
        f"{remedy}"
    )
if venv and not (Path(venv) / "lib" / f"python{this}").exists():
    sys.exit(f"{venv} was made with another Python than {this}, which it has now: delete it, and repeat the command.")
