"""The dashboard in a real browser, against a real server: what a person does first, with mouse, keyboard and neither
scripts nor colours; and that pages run and load nothing that isn't theirs."""

import gzip
import hashlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from tests.support import migrated
from tests.support.browser import Browser, running_browser
from tests.support.server import Server, manage, running_server

pytestmark = pytest.mark.needs("chromium", "chromedriver")
PASSWORD = "correct horse battery"
WAIT = 40  # seconds; pages refresh themselves every 10
# The tables that are wider than their place, so that a part of them is out of sight.
CUT = """return [...document.querySelectorAll(".scroll")]
    .filter(place => place.scrollWidth > place.clientWidth).map(place => place.innerText)"""
FLEET = """
from datetime import timedelta
from apps.fleet import checksums, endpoint_manager
from tests import factories
lab = factories.pool("lab")
factories.target(lab, "app 2-1")
long = "python-sphinxcontrib-serializinghtml 2.42+r33+gde1fe81f471496366580ad728b8986a3424b2fd7-1 dependency"
factories.reporting_endpoint("old", pool=lab, state=factories.state("app 1-1", long))
other = factories.endpoint("build-server-01.example.org")
rebuilt = factories.reported_repository(factories.repository("app 2-1", build="two"))
factories.report(other, factories.state("app 1-1"), rebuilt)
valid_for = timedelta(days=30)
endpoint_manager.create_enrolment_code(actor="user:administrator", pool=lab, uses=100, valid_for=valid_for)
checksums.forget()
checksums.refresh()
"""


def create_ada(database_url: str) -> None:
    """The administrator `ada`, as docs and login page say."""
    options = ("--noinput", "--username=ada", "--email=ada@example.org")
    made = manage(database_url, "createsuperuser", *options, DJANGO_SUPERUSER_PASSWORD=PASSWORD)
    assert made.returncode == 0, made.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with `ada`, and pool `lab` with a target and the endpoint `old`, which is behind."""
    url = migrated.sqlite(tmp_path_factory.mktemp("dashboard") / "db.sqlite3")
    create_ada(url)
    made = manage(url, "shell", "--verbosity=0", "--command", FLEET)
    assert made.returncode == 0, made.stderr
    with running_server(url) as running:
        yield running


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[Server]:
    """A server with nothing but `ada`."""
    url = migrated.sqlite(tmp_path / "db.sqlite3")
    create_ada(url)
    with running_server(url) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as running:
        yield running


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test: the console is silent, and nothing was asked of another origin."""
    used = set(request.fixturenames)
    own = {request.getfixturevalue(name).url for name in ("server", "empty_server") if name in used}
    browser: Browser | None = request.getfixturevalue("browser") if "browser" in used else None
    yield
    if browser:
        browser.driver.get("about:blank")  # no page goes on refreshing itself
        assert browser.complaints() == []
        assert browser.origins() <= own


def log_in(browser: Browser, server: Server) -> None:
    driver = browser.driver
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.get(server.url + "/")
    assert driver.current_url == f"{server.url}/login?next=/"
    driver.find_element(By.NAME, "username").send_keys("ada")
    driver.find_element(By.NAME, "password").send_keys(PASSWORD)
    driver.find_element(By.CSS_SELECTOR, "main button").click()
    until(browser, lambda: driver.current_url == server.url + "/")


def until(browser: Browser, condition: Callable[[], object]) -> None:
    between_pages = [StaleElementReferenceException]
    WebDriverWait(browser.driver, WAIT, ignored_exceptions=between_pages).until(lambda _: condition())


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
    until(browser, lambda: "Your enrolment code" in text(browser))
    code, command = (box.text for box in driver.find_elements(By.CSS_SELECTOR, "#made ~ * code, .copyable code")[:2])
    assert command.endswith(f"enroll --server {server.url} --code {code}'")
    return code


def test_first_steps_new_admin_to_a_synced_pool(browser: Browser, empty_server: Server) -> None:
    driver = browser.driver
    log_in(browser, empty_server)
    assert "First steps" in text(browser)
    driver.find_element(By.LINK_TEXT, "Create a pool").click()
    driver.find_element(By.NAME, "name").send_keys("lab")
    driver.find_element(By.XPATH, "//button[text()='Create the pool']").click()
    until(browser, lambda: driver.current_url == empty_server.url + "/pools/lab")
    assert "Pool lab was created." in text(browser) and "This pool has no endpoints" in text(browser)

    code = new_code(browser, empty_server, "lab", machines=2)
    enrol(empty_server, code, "good", "2-1")
    enrol(empty_server, code, "old", "1-1")
    driver.get(empty_server.url + "/pools/lab")
    assert "This pool has no target" in text(browser)
    driver.find_element(By.LINK_TEXT, "Choose the endpoint").click()
    driver.find_element(By.CSS_SELECTOR, "a[href='/pools/lab/target/good']").click()
    driver.find_element(By.NAME, "comment").send_keys("tested on good")
    driver.find_element(By.XPATH, "//button[text()='Set the target']").click()
    until(browser, lambda: "Target #1 of lab was set." in text(browser))
    assert "tested on good" in text(browser)

    driver.find_element(By.LINK_TEXT, "old").click()
    assert "behind" in text(browser)
    row = driver.find_element(By.CSS_SELECTOR, "table.changes tbody tr").text
    assert row.split() == ["app", "1-1", "2-1", "↑", "upgrade"] or row.split() == ["app", "1-1", "2-1", "↑upgrade"]
    driver.find_element(By.XPATH, "//button[text()='Sync to #1']").click()
    until(browser, lambda: "Queued. old starts it at its next check-in." in text(browser))
    driver.find_element(By.LINK_TEXT, "Cancel it").click()
    assert "old has not begun it. Nothing is changed there." in text(browser)
    driver.find_element(By.XPATH, "//button[text()='Cancel the operation']").click()
    until(browser, lambda: "The operation was cancelled." in text(browser))
    assert "cancelled" in driver.find_element(By.ID, "status").text


def test_every_page_silent_console_and_own_origin(browser: Browser, server: Server) -> None:
    log_in(browser, server)
    paths = ["/", "/pools/lab", "/pools/lab/change", "/pools/lab/delete", "/pools/lab/target", "/pools/lab/sync"]
    paths += [
        "/pools/lab/revisions/1",
        "/endpoints",
        "/endpoints/old",
        "/endpoints/old/packages",
        "/endpoints/old/timeline",
        "/packages?q=p",
        "/packages/app",
        "/compare?from=endpoint:old&to=revision:lab/1",
        "/endpoints/old/delete",
        "/operations",
        "/enrol",
    ]
    paths += ["/password", "/create-pool", "/admin/", "/admin/fleet/pool/add/", "/admin/fleet/endpoint/"]
    for path in paths:
        browser.driver.get(server.url + path)
        assert browser.complaints() == [], path
        assert browser.driver.find_elements(By.CSS_SELECTOR, "h1"), path


@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_the_width(browser: Browser, server: Server, width: int) -> None:
    log_in(browser, server)
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        paths = ["/", "/pools/lab", "/pools/lab/target", "/pools/lab/target/old", "/pools/lab/revisions/1"]
        paths += [
            "/pools/lab/revisions/1/packages",
            "/endpoints",
            "/endpoints/old",
            "/operations",
            "/checksums",
            "/audit",
        ]
        paths += ["/endpoints/old/packages", "/endpoints/old/timeline", "/packages?q=p", "/packages/app"]
        paths += ["/packages/python-sphinxcontrib-serializinghtml", "/compare?from=endpoint:old&to=revision:lab/1"]
        for path in (*paths, "/audit", "/enrol", "/create-pool"):
            browser.driver.get(server.url + path)
            wide = browser.driver.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, path
            assert browser.driver.execute_script(CUT) == [], path
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_keyboard_alone_logs_in_and_creates_a_pool(browser: Browser, server: Server) -> None:
    driver = browser.driver
    driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
    driver.get(server.url + "/create-pool")

    def press(*keys: str) -> None:
        ActionChains(driver).send_keys(*keys).perform()

    def focused(script: str) -> Any:
        return driver.execute_script(f"return document.activeElement.{script}")

    assert focused("name") == "username"
    press("ada", Keys.TAB)
    press(PASSWORD, Keys.ENTER)
    until(browser, lambda: driver.current_url == server.url + "/create-pool")
    press(Keys.TAB)
    assert focused("className") == "skip"
    assert driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(Keys.ENTER)
    until(browser, lambda: driver.current_url.endswith("#main"))
    press(Keys.TAB)
    assert focused("closest('main .crumbs') !== null")  # past the header
    press(Keys.TAB)
    assert focused("name") == "name"
    press("typed", Keys.ENTER)
    until(browser, lambda: driver.current_url.split("#")[0] == server.url + "/pools/typed")


def test_page_refreshes_itself_focus_and_scroll_stay(browser: Browser, server: Server) -> None:
    log_in(browser, server)
    code = new_code(browser, server, "lab")
    driver = browser.driver
    driver.set_window_size(1280, 420)
    try:
        driver.get(server.url + "/pools/lab")
        link = driver.find_element(By.LINK_TEXT, "old")
        driver.execute_script("arguments[0].focus(); scrollTo(0, 150)", link)
        place = "const link = document.activeElement; return [link.textContent, link.getBoundingClientRect().top]"
        before = driver.execute_script(place)
        assert before[0] == "old" and driver.execute_script("return scrollY") > 0
        enrol(server, code, "fresh", "1-1")
        until(browser, lambda: driver.find_elements(By.LINK_TEXT, "fresh"))
        after = driver.execute_script(place)
        assert after[0] == "old" and abs(after[1] - before[1]) < 3  # pixels; a row is 30
    finally:
        driver.set_window_size(1280, 900)


def test_page_of_a_renamed_pool_leads_on_and_that_of_a_deleted_one_says_so(browser: Browser, server: Server) -> None:
    log_in(browser, server)
    driver = browser.driver
    driver.get(server.url + "/create-pool")
    driver.find_element(By.NAME, "name").send_keys("moved")
    driver.find_element(By.XPATH, "//button[text()='Create the pool']").click()
    until(browser, lambda: driver.current_url == server.url + "/pools/moved")
    watching = driver.current_window_handle
    driver.switch_to.new_window("tab")
    acting = driver.current_window_handle
    try:
        driver.get(server.url + "/pools/moved/change")
        field = driver.find_element(By.NAME, "name")
        field.clear()
        field.send_keys("moved-on")
        field.submit()
        until(browser, lambda: driver.current_url == server.url + "/pools/moved-on")
        driver.switch_to.window(watching)
        until(browser, lambda: driver.current_url == server.url + "/pools/moved-on")
        driver.switch_to.window(acting)
        driver.get(server.url + "/pools/moved-on/delete")
        driver.find_element(By.XPATH, "//button[text()='Delete the pool']").click()
        until(browser, lambda: "Pool moved-on was deleted." in text(browser))
        driver.switch_to.window(watching)
        until(browser, lambda: "This is gone" in driver.find_element(By.TAG_NAME, "footer").text)
        driver.get(server.url + "/")  # so that the page that is gone asks for nothing more
        assert all("404" in one for one in browser.complaints())  # Chromium's own words about it
    finally:
        driver.switch_to.window(acting)
        driver.close()
        driver.switch_to.window(watching)


def test_ages_tick_without_a_request(browser: Browser, server: Server) -> None:
    log_in(browser, server)
    browser.driver.get(server.url + "/endpoints/old")
    seen = browser.driver.find_element(By.CSS_SELECTOR, "#facts time")
    before = seen.text
    if before.endswith("s ago"):
        time.sleep(2.5)
        assert browser.driver.find_element(By.CSS_SELECTOR, "#facts time").text != before
    assert seen.get_attribute("title").endswith("UTC")


def test_without_scripts_everything_works(server: Server) -> None:
    with running_browser(scripts=False) as browser:
        log_in(browser, server)
        driver = browser.driver
        driver.find_element(By.LINK_TEXT, "Create a pool").click()
        driver.find_element(By.NAME, "name").send_keys("plain")
        driver.find_element(By.XPATH, "//button[text()='Create the pool']").click()
        until(browser, lambda: driver.current_url == server.url + "/pools/plain")
        assert not driver.find_elements(By.XPATH, "//button[text()='Copy']")
        assert new_code(browser, server, "plain").startswith("psc_")
        driver.get(server.url + "/pools/plain/delete")
        driver.find_element(By.XPATH, "//button[text()='Delete the pool']").click()
        until(browser, lambda: "Pool plain was deleted." in text(browser))
        driver.find_element(By.XPATH, "//button[text()='Log out']").click()
        until(browser, lambda: driver.current_url == server.url + "/login")


def test_server_gone_the_page_says_so(empty_server: Server) -> None:
    with running_browser() as browser:
        log_in(browser, empty_server)
        empty_server.stop()
        until(browser, lambda: "does not answer" in browser.driver.find_element(By.TAG_NAME, "footer").text)
        assert "First steps" in text(browser)  # what was there stays
