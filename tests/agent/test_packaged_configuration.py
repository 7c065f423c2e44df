"""The configuration that the package brings, and the documentation, name every setting that the agent takes."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent import settings
from apps.agent.pacsync_agent.mirrors.retry_schedule import OUTAGE

ROOT = Path(__file__).parents[2]
PACKAGED = ROOT / "deploy/arch/pacsync-agent.conf"


@pytest.mark.parametrize("key", [*settings.KEYS, *settings.OWN_KEYS])
def test_every_setting_is_in_the_packaged_file_and_documented(key: str) -> None:
    assert f"\n#{key} = " in PACKAGED.read_text()
    assert f"`{key}`" in (ROOT / "docs/agent.md").read_text()


def test_packaged_file_with_every_line_in_force_is_taken(tmp_path: Path) -> None:
    lines = [line.removeprefix("#") if line[:2] != "# " else line for line in PACKAGED.read_text().splitlines()]
    (tmp_path / "agent.conf").write_text("\n".join(lines))
    options = settings.load_options({}, str(tmp_path / "agent.conf"))
    assert (options.state_dir, options.mirror_patience) == (Path("/var/lib/pacsync-agent"), OUTAGE)
    assert (options.protect, options.trust_target_files) == (settings.PROTECT, False)
