"""Every code with which the agent ends is in docs/agent.md, and that page names no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from apps.agent.pacsync_agent import errors

ROOT = Path(__file__).resolve().parents[2]
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.AgentError)}

# Where classes of errors are, each with a code of its own.
OF_THEIR_OWN = {"errors.py", "rehearsal_refusal.py"}


def codes() -> Iterator[str]:
    """The first argument of each error that the agent's source makes."""
    for path in (ROOT / "apps/agent/pacsync_agent").glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = ast.unparse(node.func)
                if name in KINDS or (name == "super().__init__" and path.name in OF_THEIR_OWN):
                    yield str(node.args[0].value)


def documented() -> set[str]:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| ", (ROOT / "docs/agent.md").read_text(), re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([a-z]+(?:_[a-z]+)*)`", row)}


def test_codes_of_the_source_are_those_of_the_page() -> None:
    found = set(codes())
    assert {"lease_lost", "not_root", "server_unavailable"} <= found
    commands = {"run", "status", "revert", "sync", "once", "diff", "health"}
    assert documented() - commands == found | {"base_changed"}
