"""Documents and docstrings name what exists: files, modules, headings, settings, codes, alerts, reasons."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from apps.health.checking import explanations, results
from pacsync import database_url

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
CODE = sorted(path for folder in ("apps", "pacsync", "demo", "deploy") for path in (ROOT / folder).rglob("*.py"))
WIDTH = 120
TREE = ("apps", "pacsync", "demo", "deploy", "tests")
ELSEWHERE = {"AUTO_MIGRATE", "DATABASE_WAIT_SECONDS"}  # read by the image's entry point


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


def paragraphs(page: Path) -> Iterator[tuple[int, str]]:
    """The lines of a page outside of code blocks, with their numbers."""
    code = False
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code:
            yield number, line


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = [line.lstrip("#").strip() for _, line in paragraphs(page) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    wrong = []
    text = "\n".join(line for _, line in paragraphs(page))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_no_line_of_a_paragraph_is_too_long(page: Path) -> None:
    too_long = [
        number
        for number, line in paragraphs(page)
        if len(line) > WIDTH and not line.startswith(("|", "#")) and " " in line[:WIDTH].strip()
    ]
    assert too_long == []


def docstrings(path: Path) -> str:
    """All docstrings and comments of a module."""
    text = path.read_text()
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return "\n".join([*found, *re.findall(r"(?:^|\s)(#.*)$", text, re.MULTILINE)])


def missing_files(text: str) -> list[str]:
    """The paths from the repository's root that the text names and that don't exist."""
    named = re.findall(
        r"(?<![\w/.])((?:apps|pacsync|docs|deploy|tests|demo)/[\w./-]+\.(?:py|md|yml|yaml|sh|cfg|html))\b", text
    )
    folders = re.findall(r"(?<![\w/.])((?:apps|pacsync|docs|deploy|tests|demo)/(?:[\w-]+/)*)(?![\w./…*<{-])", text)
    return sorted(name for name in {*named, *folders} if not (ROOT / name).exists())


@cache
def file_names() -> set[str]:
    return {path.name for folder in TREE for path in (ROOT / folder).rglob("*.py")} | {"manage.py"}


def missing_modules(text: str) -> list[str]:
    """The modules that the text names without their folder, and that are in no folder."""
    return sorted(set(re.findall(r"(?<![\w/.-])(\w+\.py)\b", text)) - file_names())


def missing_names(text: str) -> list[str]:
    """The dotted names of modules, and of what is in them, that the text names and that don't exist."""
    names = set(re.findall(r"(?<![\w/.])(apps(?:\.\w+)+)(?!\.?\w|/)", text))
    return sorted(name for name in names if not exists(name))


def exists(name: str) -> bool:
    """Whether there is such a package or module, or such a name at the top of one, or in a class there."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:end])
        module = base.with_suffix(".py")
        if module.is_file():
            return all(re.search(rf"\b{part}\b", module.read_text()) for part in parts[end:])
        if base.is_dir():
            return end == len(parts) or parts[end] in dir_names(base)
    return False


def dir_names(folder: Path) -> set[str]:
    init = folder / "__init__.py"
    return set(re.findall(r"\w+", init.read_text())) if init.is_file() else set()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_pages_name_only_files_and_modules_that_exist(page: Path) -> None:
    text = page.read_text()
    assert missing_files(text) + missing_modules(text) + missing_names(text) == []


def test_docstrings_name_only_files_and_modules_that_exist() -> None:
    wrong = {}
    for path in CODE:
        text = docstrings(path)
        if missing := missing_files(text) + missing_modules(text) + missing_names(text):
            wrong[ids(path)] = missing
    assert wrong == {}


def test_configuration_page_names_exactly_the_variables_of_the_settings() -> None:
    source = "".join((ROOT / "pacsync" / f"{name}.py").read_text() for name in ("settings", "accounts"))
    kinds = (
        "seconds|whole|flag|choice|networks|proxies|hosts|origins|address|file_or_address|database|text|cookie_name"
        "|log_level"
    )
    calls = rf"(?:env\.\w+|{kinds})"
    read = set(re.findall(rf'{calls}\(\s*"([A-Z_]+)"', source)) | {*database_url.PARTS}
    page = (ROOT / "docs" / "configuration.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert named == read
    assert len(read) > 40
    assert set(re.findall(r"`([A-Z_]+)`", page)) >= ELSEWHERE


def first_cells(page: str, heading: str) -> set[str]:
    """What stands in backticks in the first column of the table below a heading."""
    text = (ROOT / "docs" / page).read_text()
    section = text[text.index(f"\n{heading}\n") + 1 :]
    section = re.split(r"\n#", section)[0]
    return {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`([^`]+)`", row)
    }


def test_runbook_has_every_readiness_reason_and_no_other() -> None:
    assert first_cells("operations/runbook.md", "## Service not ready") == set(results.REASONS)


def test_health_page_names_every_reason_and_problem() -> None:
    page = (ROOT / "docs" / "health.md").read_text()
    assert [word for word in (*results.REASONS, *explanations.PROBLEMS) if f"`{word}`" not in page] == []


def test_every_alert_that_a_page_names_exists() -> None:
    rules = "".join(path.read_text() for path in (ROOT / "deploy" / "prometheus").glob("*.yml"))
    alerts = set(re.findall(r"- alert: (\w+)", rules))
    named = {name for page in PAGES for name in re.findall(r"\bPacSync[A-Z]\w+", page.read_text())}
    assert named - alerts == set()
    runbook = (ROOT / "docs" / "operations" / "runbook.md").read_text()
    assert alerts - set(re.findall(r"PacSync\w+", runbook)) == set()
