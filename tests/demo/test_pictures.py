"""The README's pictures: those that `make screenshots` takes, there and small."""

import re
from pathlib import Path

from tests import screenshots

ROOT = Path(__file__).resolve().parents[2]
SHOWN = re.findall(r"\]\((docs/images/[^)]+)\)", (ROOT / "README.md").read_text())
LIMIT = 150_000  # bytes


def test_pictures_of_the_readme_are_there_and_small() -> None:
    for path in SHOWN:
        content = (ROOT / path).read_bytes()
        assert content[:4] == b"RIFF" and content[8:12] == b"WEBP", path
        assert len(content) < LIMIT, path


def test_pictures_of_the_readme_are_those_that_are_taken() -> None:
    assert {Path(path).stem for path in SHOWN} == {"overview", "machine", "health"}
    assert {path.name for path in screenshots.IMAGES.iterdir()} == {Path(path).name for path in SHOWN}
