"""An endpoint that is nothing but a token: it reports what a test says, packages and databases that exist nowhere.

It must not know what comes of it.
"""

import gzip
import hashlib
import http.client
import json
import time
from collections.abc import Iterable
from typing import Any

from tests.support.site import Site


class Attacker:
    """Enrolled in a pool of the site, with the right to set its target."""

    def __init__(self, site: Site, pool: str) -> None:
        self.site, self.pool = site, pool
        self.name = f"attacker-{pool}"
        self.token = ""
        body = {"code": site.code(pool), "name": self.name, "arch": "x86_64"}
        self.token = str(self.call("POST", "/enroll", json.dumps(body).encode())["token"])
        self.seq = int(time.time() * 1000)

    def call(self, method: str, path: str, content: bytes, **headers: str) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.site.server.port, timeout=30)
        known = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        known |= {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"/api/v1{path}", content, known)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        assert answer.status < 400, f"{method} {path}: {answer.status} {said.decode()}"
        return json.loads(said) if said else {}

    def set_target(self, packages: Iterable[str], *, offered: Iterable[str], mirror: str, repo: str = "core") -> int:
        """Report these packages (`name version arch reason`), with one repository, and make them the target.

        `offered` are its lines `name version arch filename sha256 size`. The revision's number.
        """
        state, content = _text(packages), _text(offered)
        texts = {_digest(state): ("states", state), _digest(content): ("repositories", content)}
        self.seq += 1
        report = {
            "seq": self.seq,
            "state": _digest(state),
            "repositories": [{"name": repo, "digest": _digest(content), "mirrors": [mirror]}],
            "holds": [],
            "agent_version": "1.0.0",
        }
        while wanted := self.call("POST", "/checkin", json.dumps(report).encode())["want"]:
            for digest in wanted:
                kind, text = texts[digest]
                kinds = {"Content_Encoding": "gzip", "Content_Type": "text/plain; charset=utf-8"}
                self.call("PUT", f"/{kind}/{digest}", gzip.compress(text), **kinds)
        body = json.dumps({"endpoint": self.name}).encode()
        return int(self.call("POST", f"/pools/{self.pool}/targets", body)["number"])


def _text(lines: Iterable[str]) -> bytes:
    return "".join(sorted(f"{line}\n" for line in lines)).encode()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
