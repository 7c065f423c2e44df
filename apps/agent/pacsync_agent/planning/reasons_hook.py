"""A hook that marks packages as dependencies before any other hook runs, where the transaction itself can't.

A new dependency is such a package if it needs every package that might pull it in (transaction_targets.py). pacman runs
the hook in the machine's root, so it needs only a shell. It must not know the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

# Before all others: libalpm runs them in the order of their names.
NAME = "!pacsync-install-reasons.hook"
# The entries of the targets get the block that `pacman -D --asdeps` writes; an explicit package has none.
_SCRIPT = (
    'while read -r n; do for f in "$0"/local/"$n"-*/desc; do { read -r k; read -r v; } <"$f"; '
    '[ "$v" != "$n" ] || { echo %REASON%; echo 1; echo; } >>"$f"; done; done'
)


def is_possible(root: Path, dbpath: Path) -> bool:
    """Whether the hook could run there: the root has a shell, and the database is within the root."""
    return (root / "bin/sh").exists() and root.resolve() in dbpath.resolve().parents


def write(directory: Path, names: Sequence[str], root: Path, dbpath: Path) -> None:
    """Write the hook for these packages into `directory`."""
    directory.mkdir(mode=0o700, exist_ok=True)
    inside = Path("/") / dbpath.resolve().relative_to(root.resolve())
    lines = ["[Trigger]", "Operation = Install", "Type = Package", *(f"Target = {name}" for name in names)]
    lines += ["[Action]", "Description = Setting install reasons...", "When = PostTransaction", "NeedsTargets"]
    lines += [f"Exec = /bin/sh -c '{_SCRIPT}' '{inside}'"]
    (directory / NAME).write_text("\n".join([*lines, ""]))
