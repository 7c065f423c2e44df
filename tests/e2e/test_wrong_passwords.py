"""Wrong passwords with real servers: several instances count together, and a database that fails is named."""

import http.client
from contextlib import closing
from email.message import Message
from http.cookies import SimpleCookie
from urllib.parse import urlencode

from tests.e2e.dashboard import PASSWORD, create_ada
from tests.support.migrated import running_postgres
from tests.support.server import Server, manage, running_server

HERE, ELSEWHERE = "203.0.113.1", "198.51.100.1"
Answer = tuple[int, str, str | None]  # status, body, Retry-After


def send(server: Server, password: str, *, address: str, path: str = "/login", token: str = "") -> Answer:
    """What a browser at this address, behind a trusted proxy, gets for the password.

    `token` is the CSRF token of a page that it has already; otherwise it gets the page first.
    """
    headers = {"X-Forwarded-For": address}
    token = token or csrf_token(server, path)
    form = urlencode({"username": "ada", "password": password, "csrfmiddlewaretoken": token})
    headers |= {"Cookie": f"csrftoken={token}", "Content-Type": "application/x-www-form-urlencoded"}
    status, found, body = _ask(server, "POST", path, form, headers)
    return status, body, found["Retry-After"]


def csrf_token(server: Server, path: str = "/login") -> str:
    cookies: SimpleCookie = SimpleCookie(_ask(server, "GET", path, None, {})[1]["Set-Cookie"])
    return cookies["csrftoken"].value


def _ask(server: Server, method: str, path: str, body: str | None, headers: dict[str, str]) -> tuple[int, Message, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


def test_wrong_passwords_instances_count_together_and_the_command_releases(postgres_url: str) -> None:
    create_ada(postgres_url)
    with running_server(postgres_url) as one, running_server(postgres_url) as other:
        found = [send(server, "wrong", address=HERE)[0] for _ in range(5) for server in (one, other)]
        assert found == [200] * 9 + [429]
        for server in (one, other):
            status, page, seconds = send(server, PASSWORD, address=HERE, path="/admin/login/")
            assert status == 429 and f"--release-address {HERE}" in page and 0 < int(seconds or 0) <= 900
        assert send(other, PASSWORD, address=ELSEWHERE)[0] == 302
        assert HERE in manage(postgres_url, "blocked_logins").stdout
        assert manage(postgres_url, "blocked_logins", "--release-address", HERE).returncode == 0
        assert send(one, PASSWORD, address=HERE)[0] == 302


def test_login_database_is_read_only_or_gone_says_so() -> None:
    with running_postgres() as cluster:
        url = cluster.create_database("logins")
        create_ada(url)
        with running_server(url, DB_POOL_TIMEOUT=1) as server:
            token = csrf_token(server)
            with cluster.connect() as connection:
                connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
                connection.execute("SELECT pg_reload_conf()")
            for password in ("wrong", PASSWORD):
                status, page, seconds = send(server, password, address=HERE, token=token)
                assert status == 503 and "The database can't be used" in page and seconds
            cluster.stop()
            status, page, seconds = send(server, PASSWORD, address=HERE, token=token)
            assert status == 503 and "The database can't be used" in page and seconds
