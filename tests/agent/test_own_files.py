"""The agent's own files: credentials, journal, sequence numbers, configuration; and what it shows."""

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import pytest

from apps.agent.pacsync_agent import files, journal, own_directory, pacman, proxies, report, settings
from apps.agent.pacsync_agent.errors import AgentError, Local, NotAuthorized, of_system
from apps.agent.pacsync_agent.output import Output, human_bytes
from apps.agent.pacsync_agent.pacman_conf import PacmanConf, SigLevel, read


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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ("default",)),
        ("protect =", ()),
        ("protect = default, wire*", ("default", "wire*")),
        ("protect = agent kernel", ("agent", "kernel")),
    ],
)
def test_protected_packages_are_those_of_the_machines_own_file(
    tmp_path: Path, line: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "etc").mkdir()
    settings.config_of_machine(tmp_path).write_text(f"[agent]\n{line}\n")
    assert settings.of_machine(settings.Options(), tmp_path).protect == words


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


def test_agent_config_command_line_wins_and_unknown_keys_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.conf"
    path.write_text("[agent]\nserver = http://file\nroot = /mnt\n")
    options = settings.load_options({"server": "http://line", "root": None}, str(path))
    assert (options.server, options.root) == ("http://line", Path("/mnt"))
    for text in ("[agent]\ncolour = red\n", "[other]\n", "nothing", "[agent]\nserver"):
        path.write_text(text)
        with pytest.raises(Local):
            settings.load_options({}, str(path))
    with pytest.raises(Local):
        settings.load_options({}, str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"server = http://x\ns3cret\n", "line 2 has no `=`"),
        (b"[agent]\ns3cret\n", "line 2 has no `=`"),
        (b"proxy = http://me:s3cret@x\nproxy = http://x\n", "proxy is there twice"),
        (b"server = http://x\n[agent]\nroot = /\n", "section [agent] is there twice"),
        (b"\xff\xfe", "it is not UTF-8"),
    ],
)
def test_agent_config_that_cannot_be_read_is_one_line_without_its_content(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "agent.conf"
    path.write_bytes(content)
    with pytest.raises(Local) as error:
        settings.load_options({}, str(path))
    assert error.value.message == f"{path} can't be read: {reason}."
    assert "trust_target_files = yes" in error.value.hint and "[agent]" in error.value.hint


def test_agent_config_says_whose_files_count_and_which_proxy_the_token_may_take(tmp_path: Path) -> None:
    path = tmp_path / "agent.conf"
    path.write_text("[agent]\ntrust_target_files = yes\nproxy = http://proxy:3128\n")
    options = settings.load_options({}, str(path))
    assert options.trust_target_files and options.proxy == proxies.Proxy("http", "proxy:3128")
    path.write_text("[agent]\n")
    options = settings.load_options({}, str(path))
    assert not options.trust_target_files and options.proxy is None
    path.write_text("# mine\n\ntrust_target_files = yes\n")  # as the remedy says it
    assert settings.load_options({}, str(path)).trust_target_files
    for text, said in (
        ("trust_target_files = perhaps", "trust_target_files is 'perhaps'."),
        ("trust_target_files = 1", "trust_target_files is '1'."),
        ("proxy = socks4://proxy", "proxy can't be used: a proxy of the kind socks4 is not supported."),
        ("proxy = foo", "proxy is 'foo'."),
        ("proxy = http://me:secret@foo", "proxy is 'foo'."),
        ("foo = bar", f"{path} has an unknown setting: foo."),
        ("[foo]", f"{path} has an unknown section: foo."),
    ):
        path.write_text(f"[agent]\n{text}\n")
        with pytest.raises(Local) as error:
            settings.load_options({}, str(path))
        assert (error.value.code, error.value.message) == ("agent_config_invalid", said)


@pytest.mark.parametrize("text", ["proxy:3128", "http://[::1]:3128/", "socks5h://me:a%40b@proxy:1080"])
def test_agent_config_takes_a_proxy_with_a_port(text: str, tmp_path: Path) -> None:
    path = tmp_path / "agent.conf"
    path.write_text(f"[agent]\nproxy = {text}\n")
    assert settings.load_options({}, str(path)).proxy == proxies.parse(text)


def test_agent_config_of_a_named_machine_is_the_one_beneath_its_root(tmp_path: Path) -> None:
    """Only what concerns that machine: it can't send the agent to another server or another database."""
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc/pacsync-agent.conf"
    plain = settings.Options(server="http://line")
    assert settings.of_machine(plain, tmp_path) == plain
    path.write_text("[agent]\ntrust_target_files = yes\nserver = http://other\ndbpath = /other\n")
    found = settings.of_machine(plain, tmp_path)
    assert found.trust_target_files and (found.server, found.dbpath) == ("http://line", None)


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


def test_sequence_numbers_grow_even_when_the_clock_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = report.next_seq(tmp_path)
    monkeypatch.setattr(report.time, "time", lambda: 1.0)
    assert report.next_seq(tmp_path) == first + 1
    (tmp_path / "seq.json").write_text('{"seq": "x"}')
    assert report.next_seq(tmp_path) == 1000


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
    text = pacman.write_config(machine, tmp_path / "real.conf").read_text()
    assert f"RootDir = {tmp_path / 'root'}\nDBPath = {tmp_path / 'db'}\n" in text
    assert "IgnorePkg" not in text and "/other" not in text
    assert "NoExtract = usr/share/x\nCheckSpace\n" in text and "HookDir = /etc/hooks" in text
    assert "SigLevel = Never\n" in text and "LocalFileSigLevel" not in text  # the agent has verified each file
    copy = pacman.write_config(machine, tmp_path / "copy.conf", rehearsal_root=tmp_path / "r").read_text()
    assert "/etc/hooks" not in copy and "CheckSpace" not in copy and f"DBPath = {tmp_path / 'r/db'}" in copy


@pytest.mark.needs("pacman")
def test_pacman_conf_reads_levels_mirrors_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "pacman.conf"
    path.write_text(
        "[options]\nHoldPkg = a b\nIgnorePkg = c*\nIgnorePkg = d\nIgnoreGroup = g\nCacheDir = /c1\nCacheDir = /c2\n"
        "Architecture = x86_64\nParallelDownloads = 5\nSigLevel = Required DatabaseOptional\n"
        "[core]\nServer = https://one/$repo/$arch\nServer = https://two/$repo/$arch\n"
        "[own]\nSigLevel = Optional TrustAll\nServer = file:///srv\n[none]\nSigLevel = Never\nServer = file:///none\n"
    )
    found = read(path, None, None)
    assert (found.hold, found.ignore, found.ignore_groups) == (("a", "b"), ("c*", "d"), ("g",))
    assert found.cache_dirs == (Path("/c1/"), Path("/c2/")) and found.parallel == 5
    assert found.repositories[0].name == "core"
    assert found.repositories[0].servers == ("https://one/core/x86_64", "https://two/core/x86_64")
    assert found.siglevel_of("core").required and found.siglevel_of(None).required
    assert found.siglevel_of("own") == SigLevel(required=False, never=False, trust_all=True)
    assert found.siglevel_of("none").never
    with pytest.raises(Local) as error:
        read(tmp_path / "missing.conf", None, None)
    assert error.value.code == "pacman_config_invalid"


@pytest.mark.needs("pacman")
@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ("", True),
        ("All", True),
        ("Sync Install", True),
        ("Sync Upgrade", True),
        ("Sync Search", False),
        ("Search", False),
        ("Sync", False),
        ("Sync Search Install Upgrade", True),
    ],
)
def test_pacman_conf_repository_that_is_only_for_looking_does_not_count(
    tmp_path: Path, usage: str, counts: bool
) -> None:
    path = tmp_path / "pacman.conf"
    line = f"Usage = {usage}\n" if usage else ""
    path.write_text(f"[options]\n[testing]\n{line}Server = file:///one\n[core]\nServer = file:///two\n")
    assert [one.name for one in read(path, None, None).repositories] == (["testing"] if counts else []) + ["core"]


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
