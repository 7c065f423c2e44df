"""What the API's tests share: a client that speaks JSON, machines that report, and the shape of a refusal."""

import gzip
import json
from typing import Any

from django.test import Client

from apps.fleet import endpoint_manager, tokens
from apps.fleet.alpm import canonical
from apps.fleet.models import Endpoint, Pool
from tests.support.texts import repository_text, state_text

__all__ = ["Answer", "Api", "ApiMachine", "api_token", "repository_text", "state_text"]

ROOT = "/api/v1"


class Answer:
    """Status, headers and decoded body of an answer."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers = response.headers
        self.body: Any = json.loads(response.content) if response.content else None

    def refused(self, status: int, code: str) -> dict[str, Any]:
        """Assert that this is a problem with that status and code; the problem."""
        assert (self.status, self.body.get("code")) == (status, code), self.body
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.body["status"] == status
        assert self.body["type"] == "about:blank" and self.body["title"] and self.body["detail"]
        assert self.headers["Cache-Control"] == "no-store"
        problem: dict[str, Any] = self.body
        return problem

    def ok(self, status: int = 200) -> Any:
        """Assert the status; the body."""
        assert self.status == status, (self.status, self.body)
        assert self.headers["Cache-Control"] == "no-store"
        return self.body


class Api:
    """A client of /api/v1 with one token (or none)."""

    def __init__(self, token: str | None = None, client: Client | None = None) -> None:
        self.client = client or Client()
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, method: str, path: str, data: bytes | str = b"", **headers: str) -> Answer:
        """`headers` by their names with underscores; content_type is the body's."""
        content_type = headers.pop("content_type", "application/json")
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.client.generic(method, ROOT + path, data, content_type, headers=self.headers | names)
        return Answer(response)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        return self.request("POST", path, json.dumps(body), **headers)

    def patch(self, path: str, body: Any) -> Answer:
        return self.request("PATCH", path, json.dumps(body))

    def put(self, path: str, body: Any) -> Answer:
        return self.request("PUT", path, json.dumps(body))

    def delete(self, path: str) -> Answer:
        return self.request("DELETE", path)

    def upload(self, path: str, data: bytes, encoding: str | None = "gzip") -> Answer:
        headers = {"Content_Encoding": encoding} if encoding else {}
        return self.request("PUT", path, data, content_type="text/plain", **headers)


def api_token(role: str, name: str | None = None) -> str:
    return tokens.create_api_token(name=name or role, role=role, actor="test")[1]


class ApiMachine:
    """An enrolled endpoint that speaks the protocol, without pacman."""

    def __init__(self, name: str, pool: Pool | None = None, *, may_set_targets: bool = False) -> None:
        _, code = endpoint_manager.create_enrolment_code(actor="test", pool=pool, may_set_targets=may_set_targets)
        self.endpoint, self.token = endpoint_manager.enroll(code=code, name=name, arch="x86_64")
        self.api = Api(self.token)
        self.seq = 0
        self.state = ""

    def report(self, *packages: str, repository: tuple[str, ...] | None = None, **fields: Any) -> Any:
        """Check in with these packages, uploading what is wanted; the answer."""
        texts = {}
        state = state_text(*packages)
        content = repository_text(*(repository if repository is not None else packages))
        self.state = canonical.digest_of(state)
        texts[self.state] = ("states", state)
        texts[canonical.digest_of(content)] = ("repositories", content)
        self.seq += 1
        mirrors = ["https://mirror.example/core/os/x86_64"]
        core = {"name": "core", "digest": canonical.digest_of(content), "mirrors": mirrors}
        report = {"seq": self.seq, "state": self.state, "repositories": [core], "holds": []} | fields
        answer = self.api.post("/checkin", report).ok()
        for digest in answer["want"]:
            kind, text = texts[digest]
            self.api.upload(f"/{kind}/{digest}", gzip.compress(text)).ok(201)
        return self.api.post("/checkin", report).ok() if answer["want"] else answer

    def fresh(self) -> Endpoint:
        return Endpoint.objects.get(pk=self.endpoint.pk)


def queue(machine: ApiMachine) -> str:
    return str(machine.api.post("/operations", {"kind": "sync"}).ok(201)["id"])


def claim(machine: ApiMachine, operation: str, token: str) -> Any:
    return machine.api.post(f"/operations/{operation}/claim", {"lease_token": token, "state": machine.state})
