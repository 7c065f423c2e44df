"""The agent's configuration and pacman's: what counts, and what is refused in one line."""

from pathlib import Path

import pytest

from apps.agent.pacsync_agent import settings
from apps.agent.pacsync_agent.errors import Local
from apps.agent.pacsync_agent.http import proxies
from apps.agent.pacsync_agent.pacman.configuration import SigLevel, read


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
