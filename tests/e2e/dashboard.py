"""Steps of an administrator in a browser, and of machines that enrol. It must not know what pages say of them."""

import gzip
import hashlib
import json
import urllib.request
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.support.browser import Browser
from tests.support.server import Server, manage

PASSWORD = "correct horse battery"


def create_ada(database_url: str) -> None:
    """The administrator `ada`, as docs and login page say."""
    options = ("--noinput", "--username=ada", "--email=ada@example.org")
    made = manage(database_url, "createsuperuser", *options, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    assert made.returncode == 0, made.stderr


def log_in(browser: Browser, server: Server) -> None:
    driver = browser.driver
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.get(server.url + "/")
    assert driver.current_url == f"{server.url}/login?next=/"
    driver.find_element(By.NAME, "username").send_keys("ada")
    driver.find_element(By.NAME, "password").send_keys(PASSWORD)
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    browser.until(lambda: driver.current_url == server.url + "/")


def text(browser: Browser) -> str:
    return browser.driver.find_element(By.TAG_NAME, "main").text


def call(server: Server, method: str, path: str, body: Any, token: str = "") -> Any:
    """A request as the agent makes it; the JSON of the answer."""
    packed = isinstance(body, bytes)
    data = gzip.compress(body) if packed else json.dumps(body).encode()
    headers = (
        {"Content-Type": "text/plain", "Content-Encoding": "gzip"} if packed else {"Content-Type": "application/json"}
    )
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{server.url}/api/v1{path}", data, headers, method=method)  # noqa: S310
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own server
        return json.loads(answer.read() or b"null")


def enrol(server: Server, code: str, name: str, *versions: str) -> None:
    """A machine enrols with the code and reports `app` in each of these versions."""
    token = call(server, "POST", "/enroll", {"code": code, "name": name, "arch": "x86_64"})["token"]
    repository = f"app 1-1 x86_64 app-1-1-x86_64.pkg.tar.zst {'a' * 64} 10\n".encode()
    repository_digest = hashlib.sha256(repository).hexdigest()
    for seq, version in enumerate(versions, 1):
        state = f"app {version} x86_64 explicit\n".encode()
        digest = hashlib.sha256(state).hexdigest()
        report = {
            "seq": seq,
            "state": digest,
            "repositories": [{"name": "core", "digest": repository_digest, "mirrors": []}],
            "holds": [],
            "agent_version": "1.0.0",
        }
        wanted = call(server, "POST", "/checkin", report, token)["want"]
        if repository_digest in wanted:
            call(server, "PUT", f"/repositories/{repository_digest}", repository, token)
        if digest in wanted:
            call(server, "PUT", f"/states/{digest}", state, token)
        assert call(server, "POST", "/checkin", report, token)["recorded"]


def new_code(browser: Browser, server: Server, pool: str, machines: int = 1) -> str:
    driver = browser.driver
    driver.get(f"{server.url}/enrol?pool={pool}")
    assert Select(driver.find_element(By.NAME, "pool")).first_selected_option.text == pool
    uses = driver.find_element(By.NAME, "uses")
    uses.clear()
    uses.send_keys(str(machines))
    driver.find_element(By.XPATH, "//button[text()='Create the code']").click()
    browser.until(lambda: "Your enrolment code" in text(browser))
    code, command = (box.text for box in driver.find_elements(By.CSS_SELECTOR, "#made ~ * code, .copyable code")[:2])
    assert command.endswith(f"enroll --server {server.url} --code {code}'")
    return code
