"""The agent's own files: credentials, journal, sequence numbers, pacman's for a transaction; and what it shows."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent import journal, settings
from apps.agent.pacsync_agent.checkin import sequence_number
from apps.agent.pacsync_agent.errors import AgentError, Local, NotAuthorized, of_system
from apps.agent.pacsync_agent.pacman import execution
from apps.agent.pacsync_agent.pacman.configuration import PacmanConf, SigLevel
from apps.agent.pacsync_agent.system import files, own_directory
from apps.agent.pacsync_agent.terminal.output import Output, human_bytes


def conf(root: Path, dbpath: Path, options: tuple[tuple[str, str], ...] = ()) -> PacmanConf:
    level = SigLevel(required=True, never=False, trust_all=False)
    return PacmanConf(root, dbpath, root, (), ("x86_64",), (), (), (), 1, level, (), options)


def test_state_dir_is_one_for_each_database(tmp_path: Path) -> None:
    usual = settings.state_dir(settings.Options(), conf(tmp_path, tmp_path / "var/lib/pacman"))
    other = settings.state_dir(settings.Options(), conf(tmp_path, tmp_path / "db"))
    third = settings.state_dir(settings.Options(), conf(tmp_path, tmp_path / "db2"))
    assert usual == tmp_path / "var/lib/pacsync-agent"
    assert len({usual, other, third}) == 3
    given = settings.Options(state_dir=tmp_path / "given")
    assert settings.state_dir(given, conf(tmp_path, tmp_path)) == tmp_path / "given"


def test_directory_of_a_database_that_was_moved_is_kept_and_that_of_another_is_not(tmp_path: Path) -> None:
    usual, moved = tmp_path / "var/lib/pacman", tmp_path / "data/pacman"
    (usual / "local").mkdir(parents=True)
    directory = own_directory.find(tmp_path, usual)
    directory.mkdir()
    (directory / own_directory.CREDENTIALS).touch()
    beside = own_directory.find(tmp_path, moved)
    assert beside != directory  # the old database is there: it is another machine
    moved.parent.mkdir()
    usual.rename(moved)
    assert own_directory.find(tmp_path, moved) == directory
    own_directory.remember(directory, moved)
    assert own_directory.find(tmp_path, moved) == directory
    assert own_directory.find(tmp_path, tmp_path / "third") != directory
    moved.rename(tmp_path / "third")
    assert own_directory.find(tmp_path, tmp_path / "third") == directory


def test_credentials_are_for_root_alone_and_come_back(tmp_path: Path) -> None:
    with pytest.raises(NotAuthorized):
        settings.load_credentials(tmp_path)
    credentials = settings.Credentials("http://x", "7", "m1", "pse_secret")
    settings.save_credentials(tmp_path, credentials)
    assert settings.load_credentials(tmp_path) == credentials
    assert settings.credentials_path(tmp_path).stat().st_mode & 0o777 == 0o600
    settings.credentials_path(tmp_path).write_text("{")
    with pytest.raises(Local, match="can't be read"):
        settings.load_credentials(tmp_path)


def test_file_written_atomically_survives_a_failure_half_way(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    with pytest.raises(TypeError):
        files.write_atomically(path, "text")  # type: ignore[arg-type]
    assert files.read_json(path) == {"a": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_journal_is_on_the_disk_at_each_step_and_gone_at_the_end(tmp_path: Path) -> None:
    first = journal.Journal(tmp_path / "journal.json")
    assert not first.load()
    first.enter(journal.CLAIM, token="t")
    first.enter(journal.APPLY, goal="g")
    second = journal.Journal(first.path)
    assert second.load()
    assert (second.step, second.data["token"], second.data["goal"]) == ("apply", "t", "g")
    assert second.reached(journal.GATHER) and not second.reached(journal.VERIFY)
    second.close()
    assert not first.path.exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 99, "step": "apply"}', '{"format": 1, "step": "dance"}'])
def test_journal_that_makes_no_sense_is_kept_and_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.json"
    path.write_text(text)
    with pytest.raises(Local) as error:
        journal.Journal(path).load()
    assert error.value.code == "journal_unreadable"
    assert path.exists()


def test_sequence_number_before_is_known_unless_the_disk_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may have given a later one meanwhile, so it isn't known until one was kept again."""
    numbers = sequence_number.SequenceNumbers()
    first = numbers.following_with_previous(tmp_path)
    second = numbers.following_with_previous(tmp_path)
    assert (first.previous, second.previous) == (None, first.number)
    with monkeypatch.context() as full:
        full.setattr(sequence_number.files, "keep_json", lambda *_: False)
        third = numbers.following_with_previous(tmp_path)
    fourth = numbers.following_with_previous(tmp_path)
    assert (third.previous, fourth.previous) == (None, None) and fourth.number > third.number > second.number
    assert numbers.following_with_previous(tmp_path).previous == fourth.number


def test_sequence_numbers_grow_even_when_the_clock_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sequence_number.following(tmp_path)
    monkeypatch.setattr(sequence_number.time, "time", lambda: 1.0)
    assert sequence_number.following(tmp_path) == first + 1
    (tmp_path / "seq.json").write_text('{"seq": "x"}')
    assert sequence_number.following(tmp_path) == 1000


def test_pacman_config_for_transactions_has_no_repositories_and_no_holds(tmp_path: Path) -> None:
    options = (
        ("RootDir", "/other"),
        ("IgnorePkg", "linux"),
        ("HookDir", "/etc/hooks"),
        ("NoExtract", "usr/share/x"),
        ("CheckSpace", ""),
        ("LocalFileSigLevel", "PackageRequired"),
        ("LocalFileSigLevel", "PackageTrustedOnly"),
    )
    machine = conf(tmp_path / "root", tmp_path / "db", options)
    text = execution.write_config(machine, tmp_path / "real.conf").read_text()
    assert f"RootDir = {tmp_path / 'root'}\nDBPath = {tmp_path / 'db'}\n" in text
    assert "IgnorePkg" not in text and "/other" not in text
    assert "NoExtract = usr/share/x\nCheckSpace\n" in text and "HookDir = /etc/hooks" in text
    assert "SigLevel = Never\n" in text and "LocalFileSigLevel" not in text  # the agent has verified each file
    copy = execution.write_config(machine, tmp_path / "copy.conf", rehearsal_root=tmp_path / "r").read_text()
    assert "/etc/hooks" not in copy and "CheckSpace" not in copy and f"DBPath = {tmp_path / 'r/db'}" in copy


def objects(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_output_json_every_line_is_an_object() -> None:
    stream = io.StringIO()
    output = Output(as_json=True, stream=stream)
    output.line("hello")
    output.warn("careful")
    output.progress("downloading", 1, 2, 10, 20)
    output.error(AgentError("code", "It failed.", "Do this."))
    output.result("text", command="sync")
    assert [value["event"] for value in objects(stream)] == ["message", "warning", "progress", "error", "result"]
    assert objects(stream)[3] == {"event": "error", "code": "code", "message": "It failed.", "hint": "Do this."}


def test_output_quiet_leaves_warnings_and_results() -> None:
    stream = io.StringIO()
    output = Output(quiet=True, stream=stream)
    output.line("hello")
    output.progress("applying", 1, 2)
    output.warn("careful")
    output.result("done")
    assert stream.getvalue() == "warning: careful\ndone\n"


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5120.0 GiB")])
def test_bytes_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (errno.ENOSPC, "disk_full", "is full"),
        (errno.EDQUOT, "disk_full", "is full"),
        (errno.EIO, "system_error", "refused"),
    ],
)
def test_system_error_names_the_place_and_a_full_disk_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str, words: str
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "fsync", fail)
    path = tmp_path / "seq.json"
    with pytest.raises(OSError) as error:
        files.write_json(path, {})
    said = of_system(error.value)
    assert said.code == code and words in said.message and str(path) in said.message
    assert bool(said.hint) == (code == "disk_full") and list(tmp_path.iterdir()) == []


def test_state_dir_is_tried_by_several_processes_at_once(tmp_path: Path) -> None:
    """The service and pacman's hook may start in the same moment."""
    directory = tmp_path / "state"
    trying = (
        "import sys; from pathlib import Path; from apps.agent.pacsync_agent.settings import make_state_dir\n"
        "for _ in range(2000): make_state_dir(Path(sys.argv[1]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", trying, str(directory)]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert not [*directory.iterdir()]
