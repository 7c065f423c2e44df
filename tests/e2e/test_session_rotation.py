"""A new SECRET_KEY with the former one as a fallback: requests that use one session at once all keep it."""

import http.client
import threading
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.e2e.dashboard import PASSWORD, create_ada
from tests.support.server import running_server

AT_ONCE = 8
Answer = tuple[int, dict[str, str]]  # status, and the cookies that it sets


def ask(port: int, path: str, cookies: dict[str, str], form: dict[str, str] | None = None) -> Answer:
    """A request with these cookies; a POST if there is a form."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    connection.request("POST" if form else "GET", path, urlencode(form) if form else None, headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    found: SimpleCookie = SimpleCookie()
    for line in answer.headers.get_all("Set-Cookie", []):
        found.load(line)
    return answer.status, {name: morsel.value for name, morsel in found.items()}


def log_in(port: int) -> dict[str, str]:
    _, cookies = ask(port, "/login", {})
    form = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": cookies["csrftoken"]}
    status, more = ask(port, "/login", cookies, form)
    assert status == 302
    return cookies | more


def test_secret_key_rotated_parallel_requests_keep_their_session(postgres_url: str) -> None:
    create_ada(postgres_url)
    with running_server(postgres_url, SECRET_KEY="the-former-key") as server:
        cookies = log_in(server.port)
    answers: list[Answer] = []
    with running_server(
        postgres_url, SECRET_KEY="the-new-key", SECRET_KEY_FALLBACKS="the-former-key", WEB_CONCURRENCY=2
    ) as server:
        together = threading.Barrier(AT_ONCE)

        def one() -> None:
            together.wait()
            answers.append(ask(server.port, "/", cookies))

        threads = [threading.Thread(target=one) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers.append(ask(server.port, "/", cookies))  # with the cookie of before, as one that was late
    assert [status for status, _ in answers] == [200] * (AT_ONCE + 1)
    assert {new.get("sessionid", cookies["sessionid"]) for _, new in answers} == {cookies["sessionid"]}
    with running_server(postgres_url, SECRET_KEY="the-new-key") as server:
        assert ask(server.port, "/", cookies)[0] == 200  # the former key isn't needed any more
