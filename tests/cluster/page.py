"""The commands of a page, as it prints them. It must not know what they do."""

import re

from tests.deploy.engine import ROOT

PAGE = ROOT / "docs/operations/kubernetes.md"


def commands() -> list[str]:
    """Every command line of kubectl in the page's blocks and, between backticks, in its text and tables."""
    text = PAGE.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    joined = "".join(blocks).replace("\\\n", " ")
    lines = [re.sub(r"\s+#.*", "", line).strip() for line in joined.splitlines()]
    spans = re.findall(r"`(kubectl [^`]+)`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for line in [*lines, *spans] if line.startswith("kubectl ")]


def printed(part: str, **values: str) -> str:
    """The command that is `part`, or the only one that contains it, with the words that `values` names replaced.

    AssertionError unless the page has exactly one such command, or if it has not each of these words.
    """
    found = sorted({line for line in commands() if line == part} or {line for line in commands() if part in line})
    assert len(found) == 1, f"{PAGE.name} has not one command with {part!r}: {found}"
    (line,) = found
    for word, value in values.items():
        assert re.search(rf"\b{word}\b", line), f"{word} is not in: {line}"
        line = re.sub(rf"\b{word}\b", lambda _, value=value: value, line)
    return line


def span(part: str) -> str:
    """What stands between backticks, and is the only thing there that contains `part`."""
    (found,) = {text for text in re.findall(r"`([^`\n]+)`", PAGE.read_text()) if part in text}
    return str(found)
