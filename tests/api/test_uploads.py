"""Uploads: gzip read in bounded memory, the digest computed here, every damage refused and nothing kept."""

import gzip
import tracemalloc
import zlib

import pytest

from apps.api.requests.body import STATE_LIMIT
from apps.fleet.alpm import canonical
from apps.fleet.models import PackageVersion, RepositoryContent, State
from tests.api.support import ApiMachine, repository_text, state_text

pytestmark = pytest.mark.django_db

TEXT = state_text("linux 6.1-1", "nano 7-1 dependency")
DIGEST = canonical.digest_of(TEXT)
GZIP = gzip.compress(TEXT)


def nothing_kept() -> bool:
    return not (State.objects.exists() or RepositoryContent.objects.exists() or PackageVersion.objects.exists())


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
def test_put_state_gzip_201_then_200(machine: ApiMachine, encoding: str) -> None:
    assert machine.api.upload(f"/states/{DIGEST}", GZIP, encoding).ok(201) == {"digest": DIGEST, "package_count": 2}
    machine.api.upload(f"/states/{DIGEST}", GZIP, encoding).ok(200)


@pytest.mark.parametrize("encoding", [None, "identity"])
def test_put_state_uncompressed_201(machine: ApiMachine, encoding: str | None) -> None:
    machine.api.upload(f"/states/{DIGEST}", TEXT, encoding).ok(201)


def test_put_repository_gzip_201(machine: ApiMachine) -> None:
    text = repository_text("linux 6.1-1")
    machine.api.upload(f"/repositories/{canonical.digest_of(text)}", gzip.compress(text)).ok(201)


@pytest.mark.parametrize(
    "data",
    [
        GZIP[:-1],
        GZIP[:-9],
        GZIP[:12],
        GZIP[:3],
        b"",
        GZIP + b"x",
        GZIP + GZIP,
        GZIP + gzip.compress(b""),
        TEXT,
        zlib.compress(TEXT),
        GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:],  # a wrong checksum
        b"\x1f\x8b" + b"\xff" * 50,
    ],
    ids=lambda data: f"{len(data)}-{data[-2:].hex()}",
)
@pytest.mark.parametrize("kind", ["states", "repositories"])
def test_put_damaged_gzip_400_nothing_kept(machine: ApiMachine, kind: str, data: bytes) -> None:
    machine.api.upload(f"/{kind}/{DIGEST}", data).refused(400, "invalid_encoding")
    assert nothing_kept()


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "compress", "\u00e4", ""])
def test_put_unknown_encoding_415(machine: ApiMachine, encoding: str) -> None:
    machine.api.request("PUT", f"/states/{DIGEST}", GZIP, Content_Encoding=encoding).refused(
        415, "unsupported_media_type"
    )
    assert nothing_kept()


@pytest.mark.parametrize("kind", ["states", "repositories"])
def test_put_text_of_another_digest_400_nothing_kept(machine: ApiMachine, kind: str) -> None:
    machine.api.upload(f"/{kind}/{'0' * 64}", GZIP).refused(400, "digest_mismatch")
    assert nothing_kept()


def test_put_other_text_under_a_known_digest_400(machine: ApiMachine) -> None:
    machine.api.upload(f"/states/{DIGEST}", GZIP).ok(201)
    machine.api.upload(f"/states/{DIGEST}", gzip.compress(TEXT + b"z 1-1 any explicit\n")).refused(
        400, "digest_mismatch"
    )


@pytest.mark.parametrize("text", [b"linux\n", b"linux 1-1 x86_64 explicit", b"\xff\xfe\n", b"a 1-1 any maybe\n"])
@pytest.mark.parametrize(("kind", "code"), [("states", "invalid_state"), ("repositories", "invalid_repository")])
def test_put_text_that_is_not_canonical_422_nothing_kept(
    machine: ApiMachine, kind: str, code: str, text: bytes
) -> None:
    path = f"/{kind}/{canonical.digest_of(text)}"
    machine.api.upload(path, gzip.compress(text)).refused(422, code)
    assert nothing_kept()


def test_put_empty_state_is_kept_and_an_empty_repository_is_none(machine: ApiMachine) -> None:
    digest = canonical.digest_of(b"")
    machine.api.upload(f"/repositories/{digest}", gzip.compress(b"")).refused(422, "invalid_repository")
    assert nothing_kept()
    assert machine.api.upload(f"/states/{digest}", gzip.compress(b"")).ok(201)["package_count"] == 0


@pytest.mark.parametrize(
    "digest", ["0" * 63, "0" * 65, "A" * 64, "g" * 64, "%00", "0" * 63 + "%0a", "..", "\u0660" * 64]
)
def test_put_digest_that_is_none_4xx(machine: ApiMachine, digest: str) -> None:
    answer = machine.api.upload(f"/states/{digest}", GZIP)
    assert answer.status in (404, 422) and answer.body["code"] in ("not_found", "invalid_request")


def bomb(size: int) -> bytes:
    """`size` zero bytes, compressed about a thousandfold."""
    compressor = zlib.compressobj(9, wbits=31)
    block = bytes(1 << 20)
    return b"".join([compressor.compress(block) for _ in range(size >> 20)] + [compressor.flush()])


def test_put_bomb_of_1_gb_in_1_mb_413_in_bounded_memory(machine: ApiMachine) -> None:
    data = bomb(1 << 30)
    assert len(data) < 1_100_000
    tracemalloc.start()
    machine.api.upload(f"/states/{DIGEST}", data).refused(413, "too_large")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * STATE_LIMIT
    assert nothing_kept()


@pytest.mark.parametrize("over", [0, 1])
def test_put_at_the_limit_read_one_byte_more_413(machine: ApiMachine, over: int) -> None:
    text = b"x" * (STATE_LIMIT + over)
    answer = machine.api.upload(f"/states/{canonical.digest_of(text)}", gzip.compress(text, 1))
    answer.refused(*((413, "too_large") if over else (422, "invalid_state")))


def test_put_uncompressed_over_the_limit_413(machine: ApiMachine) -> None:
    machine.api.upload(f"/states/{DIGEST}", b"x" * (STATE_LIMIT + 1), None).refused(413, "too_large")


def test_put_chunked_without_length_411(machine: ApiMachine) -> None:
    response = machine.api.client.put(
        f"/api/v1/states/{DIGEST}", headers=machine.api.headers | {"Transfer-Encoding": "chunked"}
    )
    assert response.status_code == 411 and response.json()["code"] == "length_required"


def test_put_without_token_401_nothing_kept(machine: ApiMachine) -> None:
    machine.api.headers = {}
    machine.api.upload(f"/states/{DIGEST}", GZIP).refused(401, "token_invalid")
    assert nothing_kept()
