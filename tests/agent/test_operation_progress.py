"""What the agent tells its server of how far it is, and when."""

import io
from typing import Any

import pytest

from apps.agent.pacsync_agent.operation import heartbeat as module
from apps.agent.pacsync_agent.operation.heartbeat import Heartbeat
from apps.agent.pacsync_agent.terminal.download_progress import Progress
from apps.agent.pacsync_agent.terminal.operation_progress import OperationProgress
from apps.agent.pacsync_agent.terminal.output import Output
from apps.api.schemas.operations import ProgressIn
from apps.fleet import progress as taken
from tests.support.wait import until

TOKEN = "t"


class Server:
    """Takes beats; `refuse` are names of fields that it refuses, as a server does that doesn't know them."""

    def __init__(self, refuse: tuple[str, ...] = (), unknown: bool = True) -> None:
        self.beats: list[dict[str, Any]] = []
        self._refuse, self._unknown = refuse, unknown

    def post(self, path: str, body: dict[str, Any], *, patience: float) -> dict[str, Any]:
        self.beats.append(body)
        wrong = [name for name in self._refuse if name in body]
        if wrong:
            raise module.ApiError(422, "invalid_request", "No.", wrong if self._unknown else ())
        return {}


def beating(server: Server, lease: float = 300) -> Heartbeat:
    return Heartbeat(server, "o", TOKEN, lease)  # type: ignore[arg-type]


def test_output_knows_how_far_it_is_even_where_it_says_nothing() -> None:
    for output in (Output(quiet=True, stream=io.StringIO()), Output(as_json=True, stream=io.StringIO())):
        output.progress("downloading", 1, 4, 10, 40, hosts=["https://a:443"], waiting="b", package="linux")
        output.progress("downloading", 2, 4, 20, 40)  # too soon after the last word to be said
        assert output.last_progress == OperationProgress("downloading", 2, 4, 20, 40)


def test_downloads_name_the_package_that_they_are_at() -> None:
    output = Output(quiet=True, stream=io.StringIO())
    progress = Progress(output, 2, 100)
    progress.on_package("linux")
    assert output.last_progress and output.last_progress.package == "linux"
    progress.on_package("")
    progress.add_file()
    assert (output.last_progress.package, output.last_progress.done) == ("", 1)


@pytest.mark.parametrize(
    "far",
    [
        OperationProgress("rehearsing"),
        OperationProgress("downloading", 1, 2, 3, 4, "p" * 300, ("https://h:1",) * 9, "w\n\0" * 300),
        OperationProgress("applying", -1, 2**60, package="\x1b[31m"),
        OperationProgress("downloading", hosts=("", "h" * 300)),
    ],
)
def test_whatever_is_said_is_what_the_server_takes(far: OperationProgress) -> None:
    said = ProgressIn.model_validate(far.as_json())
    assert taken.checked(said.model_dump())


def test_new_phase_is_told_soon_and_new_numbers_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK", 0.02)
    monkeypatch.setattr(module, "PHASE_AFTER", 0.1)
    server = Server()
    heart = beating(server)
    far = [OperationProgress("downloading", 1, 9)]
    heart.progress = lambda: far[0]
    with heart:
        until(lambda: len(server.beats) == 1, 20)
        far[0] = OperationProgress("downloading", 2, 9)  # NUMBERS_AFTER is 15 s
        assert not heart.is_due()
        far[0] = OperationProgress("rehearsing")
        until(lambda: len(server.beats) == 2, 20)
        monkeypatch.setattr(module, "NUMBERS_AFTER", 0.1)
        far[0] = OperationProgress("rehearsing", 1, 2)
        until(lambda: len(server.beats) == 3, 20)
    assert [(beat["progress"]["phase"], beat["progress"]["done"]) for beat in server.beats] == [
        ("downloading", 1),
        ("rehearsing", 0),
        ("rehearsing", 1),
    ]


def test_nothing_new_is_told_only_for_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PHASE_AFTER", 0)
    monkeypatch.setattr(module, "NUMBERS_AFTER", 0)
    heart = beating(Server())
    assert not heart.is_due()  # nothing is known
    heart.progress = lambda: OperationProgress("rehearsing")
    assert heart.is_due()
    heart.beat(1)
    assert not heart.is_due()
    heart.last_beat -= 101
    assert heart.is_due()


@pytest.mark.parametrize("unknown", [True, False])
def test_server_that_does_not_take_it_gets_the_beats_without(unknown: bool) -> None:
    server = Server(("progress",), unknown)
    heart = beating(server)
    heart.progress = lambda: OperationProgress("rehearsing")
    heart.beat(1)
    heart.beat(1)
    assert ["progress" in beat for beat in server.beats] == [True, False, False]
    assert not heart.is_due()


def test_other_refusals_are_not_repeated() -> None:
    server = Server(("phase",))
    heart = beating(server)
    heart.progress = lambda: OperationProgress("rehearsing")
    with pytest.raises(module.ApiError):
        heart.beat(1)
    assert len(server.beats) == 1
