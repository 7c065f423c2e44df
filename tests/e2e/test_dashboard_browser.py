"""The dashboard in a real browser, against a real server: its pages with mouse, keyboard and no scripts,
at each width; and that they run and load nothing that isn't theirs."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.dashboard import PASSWORD, create_ada, enrol, log_in, new_code, text
from tests.support import migrated
from tests.support.browser import Browser, running_browser
from tests.support.server import Server, manage, running_server

pytestmark = [pytest.mark.needs("chromium", "chromedriver"), pytest.mark.usefixtures("silent_browser")]
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
checksums.refresh()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with `ada`, and pool `lab` with a target and the endpoint `old`, which is behind."""
    url = migrated.sqlite(tmp_path_factory.mktemp("dashboard") / "db.sqlite3")
    create_ada(url)
    made = manage(url, "shell", "--verbosity=0", "--command", FLEET)
    assert made.returncode == 0, made.stderr
    with running_server(url) as running:
        yield running


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
        "/tokens",
    ]
    paths += ["/password", "/create-pool", "/admin/", "/admin/fleet/pool/add/", "/admin/fleet/endpoint/"]
    for path in paths:
        browser.driver.get(server.url + path)
        browser.assert_silent(path)
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
        for path in (*paths, "/audit", "/enrol", "/tokens", "/create-pool"):
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
    browser.until(lambda: driver.current_url == server.url + "/create-pool")
    press(Keys.TAB)
    assert focused("className") == "skip"
    assert driver.execute_script("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press(Keys.ENTER)
    browser.until(lambda: driver.current_url.endswith("#main"))
    press(Keys.TAB)
    assert focused("closest('main .crumbs') !== null")  # past the header
    press(Keys.TAB)
    assert focused("name") == "name"
    press("typed", Keys.ENTER)
    browser.until(lambda: driver.current_url.split("#")[0] == server.url + "/pools/typed")


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
        browser.until(lambda: driver.find_elements(By.LINK_TEXT, "fresh"))
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
    browser.until(lambda: driver.current_url == server.url + "/pools/moved")
    watching = driver.current_window_handle
    driver.switch_to.new_window("tab")
    acting = driver.current_window_handle
    try:
        driver.get(server.url + "/pools/moved/change")
        field = driver.find_element(By.NAME, "name")
        field.clear()
        field.send_keys("moved-on")
        field.submit()
        browser.until(lambda: driver.current_url == server.url + "/pools/moved-on")
        driver.switch_to.window(watching)
        browser.until(lambda: driver.current_url == server.url + "/pools/moved-on")
        driver.switch_to.window(acting)
        driver.get(server.url + "/pools/moved-on/delete")
        driver.find_element(By.XPATH, "//button[text()='Delete the pool']").click()
        browser.until(lambda: "Pool moved-on was deleted." in text(browser))
        driver.switch_to.window(watching)
        browser.until(lambda: "This is gone" in driver.find_element(By.TAG_NAME, "footer").text)
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
        browser.until(lambda: driver.current_url == server.url + "/pools/plain")
        assert not driver.find_elements(By.XPATH, "//button[text()='Copy']")
        assert new_code(browser, server, "plain").startswith("psc_")
        driver.get(server.url + "/pools/plain/delete")
        driver.find_element(By.XPATH, "//button[text()='Delete the pool']").click()
        browser.until(lambda: "Pool plain was deleted." in text(browser))
        driver.find_element(By.XPATH, "//button[text()='Log out']").click()
        browser.until(lambda: driver.current_url == server.url + "/login")
