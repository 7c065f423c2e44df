"""Which hook pacman is running, by its own words."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent.pacman import configuration, running_hook
from apps.agent.pacsync_agent.pacman.running_hook import HookWatch, RunningHook
from tests.support.pacman import Fleet

pytestmark = pytest.mark.needs("pacman")
SAID = ":: Running post-transaction hooks...\n( 1/12) Updating the cache...\nnoise (2/3) of the hook\n"
LOGGED = "[2026-11-26T09:14:03+0000] [ALPM] running '30-cache.hook'...\n[2026-11-26T09:14:04+0000] [ALPM-SCRIPTLET] x\n"


@pytest.fixture
def conf(tmp_path: Path) -> configuration.PacmanConf:
    fleet = Fleet(tmp_path)
    fleet.snapshot("2025/01/01", [])
    machine = fleet.machine("m", "2025/01/01")
    with (machine.directory / "pacman.log").open("a") as log:
        log.write(LOGGED)
    return configuration.read(machine.config, None, None)


def test_running_hook_is_named_by_its_file_with_its_start(conf: configuration.PacmanConf) -> None:
    hook = running_hook.of(SAID, conf)
    assert hook == RunningHook("30-cache.hook", "Updating the cache", "2026-11-26T09:14:03+0000")
    assert str(hook) == "30-cache.hook (Updating the cache) since 2026-11-26T09:14:03+0000"


@pytest.mark.parametrize("said", ["", "resolving dependencies...\n", SAID + ":: Processing package changes...\n"])
def test_running_hook_elsewhere_there_is_none(conf: configuration.PacmanConf, said: str) -> None:
    assert running_hook.of(said, conf) is None


def test_hook_watch_says_once_what_takes_long(conf: configuration.PacmanConf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_hook, "LOOK", 0)
    said: list[RunningHook] = []
    watch = HookWatch(conf, said.append)
    watch.look(SAID)
    assert said == []
    monkeypatch.setattr(running_hook, "PATIENCE", -1)
    for _ in range(3):
        watch.look(SAID)
    assert len(said) == 1
