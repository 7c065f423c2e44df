"""Whose bytes are installed: the table of cases of acceptance.py, the level of a package, and its addresses."""

import dataclasses
from pathlib import Path

import pytest

from apps.agent.pacsync_agent.databases.private_databases import Database, Databases
from apps.agent.pacsync_agent.gather import candidates
from apps.agent.pacsync_agent.gather.candidates import Candidate, Trust
from apps.agent.pacsync_agent.mirrors import addresses
from apps.agent.pacsync_agent.mirrors.addresses import Address
from apps.agent.pacsync_agent.packages.package_file import Wanted
from apps.agent.pacsync_agent.pacman.configuration import PacmanConf, Repository, SigLevel
from apps.agent.pacsync_agent.trust import acceptance
from apps.agent.pacsync_agent.trust.acceptance import Evidence, Rule, Signature, judge
from apps.fleet.alpm.repository import OfferedPackage
from tests.agent.gathering import NEVER, OPTIONAL, REQUIRED, UNREADABLE, own

A, B, C = "a" * 64, "b" * 64, "c" * 64
GOOD, BAD, MISSING = Signature.GOOD, Signature.BAD, Signature.MISSING

# level, own checksums, signed, target, trust, the file's checksum, its signature, in the cache: the rule or the code
CASES = [
    # 1: the repository requires a signature, and nothing else stands in for it
    (REQUIRED, (), None, None, False, A, GOOD, False, Rule.SIGNATURE),
    (REQUIRED, (B,), None, None, False, A, GOOD, False, Rule.SIGNATURE),
    (REQUIRED, (A,), None, None, False, A, MISSING, False, "signature_missing"),
    (REQUIRED, (A,), A, A, True, A, MISSING, True, "signature_missing"),
    (REQUIRED, (A,), A, A, True, A, BAD, True, "signature_invalid"),
    (REQUIRED, (), None, A, True, A, MISSING, False, "signature_missing"),
    (REQUIRED, (), None, None, False, A, GOOD, True, Rule.SIGNATURE),
    # 2: the machine's own databases, or its cache
    (OPTIONAL, (A,), None, None, False, A, MISSING, False, Rule.OWN_DATABASE),
    (NEVER, (A,), None, None, False, A, MISSING, False, Rule.OWN_DATABASE),
    (NEVER, (A,), None, None, False, A, BAD, False, Rule.OWN_DATABASE),
    (NEVER, (B, A), None, None, False, A, MISSING, False, Rule.OWN_DATABASE),
    (NEVER, (A,), None, B, False, A, MISSING, False, Rule.OWN_DATABASE),
    (NEVER, (A,), None, B, False, B, MISSING, False, "untrusted_file"),
    (OPTIONAL, (A,), None, None, False, A, BAD, False, "signature_invalid"),
    (OPTIONAL, (), None, None, False, A, BAD, True, "signature_invalid"),
    (OPTIONAL, (), None, None, False, A, MISSING, True, Rule.OWN_CACHE),
    (NEVER, (), None, A, False, A, MISSING, True, Rule.OWN_CACHE),
    # but no file of the cache that is known by another checksum, unless a signature is good: ACCEPTED has the rest
    (NEVER, (), None, B, False, A, MISSING, True, "untrusted_file"),
    (NEVER, (B,), None, None, False, A, MISSING, True, "untrusted_file"),
    (NEVER, (B,), None, A, False, A, MISSING, True, "untrusted_file"),
    (OPTIONAL, (B, C), None, None, False, A, MISSING, True, "untrusted_file"),
    (OPTIONAL, (B,), None, None, False, A, GOOD, True, Rule.OWN_CACHE),
    (OPTIONAL, (), None, B, False, A, GOOD, True, Rule.OWN_CACHE),
    (OPTIONAL, (B,), None, None, False, A, BAD, True, "signature_invalid"),
    (NEVER, (B,), None, None, False, A, GOOD, True, "untrusted_file"),
    (NEVER, (), None, None, False, A, MISSING, False, "untrusted_file"),
    # a good signature that nobody asked for is no checksum
    (OPTIONAL, (), None, None, False, A, GOOD, False, "untrusted_file"),
    (OPTIONAL, (A,), None, None, False, A, GOOD, False, Rule.OWN_DATABASE),
    # 3: a signed revision
    (NEVER, (), A, None, False, A, MISSING, False, Rule.SIGNED_REVISION),
    (NEVER, (), A, B, False, B, MISSING, False, "untrusted_file"),
    (OPTIONAL, (), A, None, False, A, BAD, False, "signature_invalid"),
    (NEVER, (B,), A, None, False, A, MISSING, False, Rule.SIGNED_REVISION),
    # 4: the machine's own configuration
    (NEVER, (), None, A, True, A, MISSING, False, Rule.CONFIGURATION),
    (NEVER, (), None, A, False, A, MISSING, False, "untrusted_file"),
    (NEVER, (), None, A, True, B, MISSING, False, "untrusted_file"),
    (NEVER, (), None, None, True, A, MISSING, False, "untrusted_file"),
    (NEVER, (B,), C, A, True, A, MISSING, False, Rule.CONFIGURATION),
    (NEVER, (A,), A, A, True, A, MISSING, True, Rule.OWN_DATABASE),
]


@pytest.mark.parametrize(("level", "own", "signed", "target", "trust", "sha256", "signature", "cached", "word"), CASES)
def test_judge_every_rule(
    level: SigLevel,
    own: tuple[str, ...],
    signed: str | None,
    target: str | None,
    trust: bool,
    sha256: str,
    signature: Signature,
    cached: bool,
    word: Rule | str,
) -> None:
    verdict = judge(Evidence(level, own, signed, target, trust), sha256=sha256, signature=signature, cached=cached)
    assert (verdict.rule or verdict.code) == word
    assert bool(verdict) == isinstance(word, Rule)
    assert sha256 not in verdict.reason


# level, own checksums, target, the file's checksum, in the cache: what it is where the machine vouched for A before
ACCEPTED = [
    (NEVER, (B,), None, A, True, Rule.OWN_CACHE),
    (OPTIONAL, (), B, A, True, Rule.OWN_CACHE),
    (NEVER, (B,), None, C, True, "untrusted_file"),
    (NEVER, (B,), None, A, False, "untrusted_file"),
    (REQUIRED, (B,), None, A, True, "signature_missing"),
    (NEVER, (A,), None, A, True, Rule.OWN_DATABASE),
]


@pytest.mark.parametrize(("level", "own", "target", "sha256", "cached", "word"), ACCEPTED)
def test_judge_file_that_was_vouched_for_before(
    level: SigLevel, own: tuple[str, ...], target: str | None, sha256: str, cached: bool, word: Rule | str
) -> None:
    evidence = Evidence(level, own, target=target, accepted=frozenset({A}), repository="core")
    verdict = judge(evidence, sha256=sha256, signature=MISSING, cached=cached)
    assert (verdict.rule or verdict.code) == word
    if word == "untrusted_file":
        assert verdict.reason == "its checksum isn't the one that core says"


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (Evidence(REQUIRED), True),
        (Evidence(NEVER), False),
        (Evidence(OPTIONAL, target=A), False),
        (Evidence(OPTIONAL, target=A, trust_target=True), True),
        (Evidence(NEVER, own=(A,)), True),
        (Evidence(NEVER, signed=A), True),
    ],
)
def test_what_could_never_be_accepted_is_not_downloaded(evidence: Evidence, expected: bool) -> None:
    assert evidence.may_be_downloaded() is expected


def test_refusal_names_ten_and_counts_the_rest() -> None:
    error = acceptance.untrusted([f"p{number:02} 1-1" for number in range(14)], {"core": "no mirror gives a valid one"})
    assert error.code == "untrusted_file"
    assert "p00 1-1, p01 1-1" in error.message and "p09 1-1 and 4 more" in error.message
    assert "p10" not in error.message and "current database of core" in error.message
    assert "trust_target_files = yes" in error.hint and "put the package file into pacman's cache" in error.hint
    assert "signed and require it (SigLevel = Required)" in error.hint
    assert "no database or cache of this machine has them." in error.message
    assert "no database or cache of this machine has it." in acceptance.untrusted(["p 1-1"]).message
    spoiled = acceptance.untrusted(["p 1-1", "q 1-1"], (), ["q 1-1"])
    assert "The cache's file of q 1-1 has another checksum than the target says." in spoiled.message
    assert "cache" not in spoiled.hint


def offered(name: str, version: str, sha256: str | None = A, filename: str = "") -> OfferedPackage:
    return OfferedPackage(name, version, "any", filename or f"{name}-{version}-any.pkg.tar.zst", sha256, 100)


def machine(**levels: SigLevel) -> PacmanConf:
    repositories = tuple(
        Repository(name, (f"http://user:pw@own.invalid/{name}", f"file:///srv/{name}"), level)
        for name, level in levels.items()
    )
    nowhere = Path("/nonexistent")
    return PacmanConf(nowhere, nowhere, nowhere, (), ("x86_64",), (), (), (), 1, REQUIRED, repositories, ())


def candidate(
    conf: PacmanConf, wanted: Wanted, current: Databases | None = None, **synced: list[OfferedPackage]
) -> Candidate:
    databases = own(conf, synced, current or Databases())
    if current:
        databases.refresh()
    return candidates.of(wanted, conf, databases, Trust())


@pytest.mark.parametrize(
    ("synced", "recorded", "required"),
    [
        ({"core": [offered("p", "1-1")]}, None, True),
        ({"own": [offered("p", "1-1")]}, None, False),
        # whoever names the unsigned repository for a package of a signed one gains nothing
        ({"core": [offered("p", "0-1")]}, "own", True),
        ({"core": [offered("p", "0-1")], "own": [offered("p", "1-1")]}, "own", True),
        # pacman takes the name from the first that offers it
        ({"first": [offered("p", "0-1")], "core": [offered("p", "0-1")]}, "core", False),
        # but exactly this file is of the signed one
        ({"first": [offered("p", "0-1")], "core": [offered("p", "1-1")]}, None, True),
        ({}, "own", False),
        ({}, "core", True),
        ({}, "elsewhere", True),
        # one that can't be read may have the name, unless one that comes before it does
        ({"core": UNREADABLE, "own": [offered("p", "1-1")]}, "own", True),
        ({"core": UNREADABLE}, "own", True),
        ({"first": [offered("p", "1-1")], "core": UNREADABLE}, "first", False),
        ({"first": UNREADABLE, "own": [offered("p", "1-1")]}, "own", False),
        ({"first": UNREADABLE, "core": [offered("p", "0-1")]}, "own", True),
        ({}, None, True),
    ],
)
def test_level_is_the_machines_own_word_and_the_stricter_one(
    synced: dict[str, list[OfferedPackage]], recorded: str | None, required: bool
) -> None:
    conf = machine(first=NEVER, core=REQUIRED, own=NEVER)
    found = candidate(conf, Wanted("p", "1-1", "any", repository=recorded), **synced)
    assert found.evidence.level.required is required


def test_repository_whose_current_database_was_had_is_readable() -> None:
    conf = machine(core=REQUIRED, own=NEVER)
    current = Databases({"core": Database("core", (offered("q", "1-1"),))})
    found = candidate(conf, Wanted("p", "1-1", "any"), current, core=UNREADABLE, own=[offered("p", "1-1")])
    assert not found.evidence.level.required and found.evidence.own == (A,)


def test_rebuilt_in_place_both_databases_of_the_machine_count() -> None:
    conf = machine(own=NEVER)
    current = Databases({"own": Database("own", (offered("p", "1-1", B),))})
    found = candidate(conf, Wanted("p", "1-1", "any", sha256=C), current, own=[offered("p", "1-1", A)])
    assert found.evidence.own == (A, B) and C not in found.evidence.checksums()


def test_sources_are_the_own_mirrors_with_their_credentials_then_the_servers() -> None:
    conf = machine(own=NEVER, core=REQUIRED)
    url = "https://other.invalid/x/p-1-1-any.pkg.tar.zst"
    wanted = Wanted("p", "1-1", "any", urls=("http://own.invalid/own/p-1-1-any.pkg.tar.zst", url))
    sources, refused = candidate(conf, wanted, own=[offered("p", "1-1")]).sources(conf)
    assert [source.url for source in sources] == [
        "http://user:pw@own.invalid/own/p-1-1-any.pkg.tar.zst",
        "file:///srv/own/p-1-1-any.pkg.tar.zst",
        url,
    ]
    assert not refused and all("pw" not in str(source) for source in sources)


@pytest.mark.parametrize(
    ("known", "hint", "names"),
    [
        ("odd-name.pkg.tar.xz", "", ["odd-name.pkg.tar.xz"]),
        ("", "p-1.2-1-any.pkg.tar.gz", ["p-1.2-1-any.pkg.tar.gz"]),
        (
            "",
            "../../evil",
            [
                "p-1:2-1-any.pkg.tar.zst",
                "p-1.2-1-any.pkg.tar.zst",
                "p-1:2-1-any.pkg.tar.xz",
                "p-1.2-1-any.pkg.tar.xz",
            ],
        ),
    ],
)
def test_file_name_is_the_databases_or_made_of_name_version_and_arch(known: str, hint: str, names: list[str]) -> None:
    conf = machine(own=NEVER)
    synced = {"own": [offered("p", "1:2-1", filename=known)]} if known else {}
    sources, _ = candidate(conf, Wanted("p", "1:2-1", "any", hint, repository="own"), **synced).sources(conf)
    assert [source.url.rpartition("/")[2] for source in sources if source.url.startswith("http")] == names


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://x/p-1:2-1-any.pkg.tar.zst", "p-1:2-1-any.pkg.tar.zst"),
        ("http://x/p-1.2-1-any.pkg.tar.xz", "p-1:2-1-any.pkg.tar.xz"),
        ("http://x/p-1%3A2-1-any.pkg.tar", "p-1:2-1-any.pkg.tar"),
    ],
)
def test_accepted_file_is_kept_under_the_name_that_pacman_looks_for(url: str, name: str) -> None:
    assert candidate(machine(own=NEVER), Wanted("p", "1:2-1", "any")).kept_as(Address(url)) == name
    known = candidate(
        machine(own=NEVER), Wanted("p", "1:2-1", "any"), own=[offered("p", "1:2-1", filename="odd.pkg.tar")]
    )
    assert known.kept_as(Address(url)) == "odd.pkg.tar"


def test_many_mirrors_are_asked_only_for_what_a_database_has() -> None:
    mirrors = tuple(f"http://m{number}.invalid/own" for number in range(30))
    plain = machine(own=NEVER)
    conf = dataclasses.replace(plain, repositories=(Repository("own", mirrors, NEVER),))
    wanted = Wanted("p", "2-1", "any", "p-2-1-any.pkg.tar.zst")
    assert len(candidate(conf, wanted, own=[offered("p", "2-1")]).sources(conf)[0]) == 10
    assert len(candidate(conf, wanted, own=[offered("p", "1-1")]).sources(conf)[0]) == 2


@pytest.mark.parametrize(
    ("mirror", "reported"),
    [
        ("https://me:s3cret@m.invalid:8443/core", "https://m.invalid:8443/core"),
        ("https://t0ken@m.invalid/core?key=s3cret#s3cret", "https://m.invalid/core"),
        ("file:///srv/core", "file:///srv/core"),
        ("http://[::1/s3cret", ""),
    ],
)
def test_mirror_is_reported_without_anything_that_lets_somebody_in(mirror: str, reported: str) -> None:
    assert addresses.reported(mirror) == reported
    assert "s3cret" not in addresses.shown(mirror)
