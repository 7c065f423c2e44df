"""The health page in a real browser: it refreshes itself with and without scripts, and loads nothing from elsewhere."""

import signal
from collections.abc import Iterator

import pytest
from selenium.webdriver.common.by import By

from tests.e2e.test_health import is_ready
from tests.support.browser import Browser, origin, running_browser
from tests.support.server import Server, running_server
from tests.support.wait import until

pytestmark = pytest.mark.needs("chromium", "chromedriver")


@pytest.fixture
def server(sqlite_url: str) -> Iterator[Server]:
    with running_server(sqlite_url, SHUTDOWN_DRAIN_DELAY=60, SHUTDOWN_TIMEOUT=70) as made:
        until(lambda: is_ready(made))
        yield made
        made.kill()


def see(browser: Browser, words: str) -> None:
    browser.until(lambda: words in browser.driver.find_element(By.TAG_NAME, "main").text)


@pytest.mark.parametrize("scripts", [True, False])
def test_page_shows_by_itself_that_the_server_drains(server: Server, scripts: bool) -> None:
    with running_browser(scripts=scripts) as browser:
        browser.driver.get(f"{server.url}/health/detailed")
        see(browser, "Ready for requests.")
        assert browser.driver.title == "Healthy · PacSync health"
        server.signal(signal.SIGTERM)
        see(browser, "Draining after SIGTERM")
        browser.assert_silent("the health page")
        assert {origin(address) for address in browser.addresses()} == {server.url}


def test_page_fits_a_phone_and_a_desktop(server: Server) -> None:
    with running_browser() as browser:
        for width in (360, 768, 1280):
            metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            browser.driver.get(f"{server.url}/health/detailed")
            assert browser.driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_page_says_when_nobody_answers_any_more(server: Server) -> None:
    with running_browser() as browser:
        browser.driver.get(f"{server.url}/health/detailed")
        see(browser, "Ready for requests.")
        server.kill()
        browser.until(lambda: "No answer for" in browser.driver.find_element(By.CSS_SELECTOR, "[data-note]").text)
        see(browser, "Ready for requests.")  # what was known last stays on the page
