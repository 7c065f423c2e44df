"""A new administrator's first steps in a real browser, up to a synced pool; and the page of a server that is gone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from tests.e2e.dashboard import create_ada, enrol, log_in, new_code, text
from tests.support import migrated
from tests.support.browser import Browser, running_browser
from tests.support.server import Server, running_server

pytestmark = [pytest.mark.needs("chromium", "chromedriver"), pytest.mark.usefixtures("silent_browser")]


@pytest.fixture
def empty_server(tmp_path: Path) -> Iterator[Server]:
    """A server with nothing but `ada`."""
    url = migrated.sqlite(tmp_path / "db.sqlite3")
    create_ada(url)
    with running_server(url) as running:
        yield running


def test_first_steps_new_admin_to_a_synced_pool(browser: Browser, empty_server: Server) -> None:
    driver = browser.driver
    log_in(browser, empty_server)
    assert "First steps" in text(browser)
    driver.find_element(By.LINK_TEXT, "Create a pool").click()
    driver.find_element(By.NAME, "name").send_keys("lab")
    driver.find_element(By.XPATH, "//button[text()='Create the pool']").click()
    browser.until(lambda: driver.current_url == empty_server.url + "/pools/lab")
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
    browser.until(lambda: "Target #1 of lab was set." in text(browser))
    assert "tested on good" in text(browser)

    driver.find_element(By.LINK_TEXT, "old").click()
    assert "behind" in text(browser)
    row = driver.find_element(By.CSS_SELECTOR, "table.changes tbody tr").text
    assert row.split() == ["app", "1-1", "2-1", "↑", "upgrade"] or row.split() == ["app", "1-1", "2-1", "↑upgrade"]
    driver.find_element(By.XPATH, "//button[text()='Sync to #1']").click()
    browser.until(lambda: "Queued. old starts it at its next check-in." in text(browser))
    driver.find_element(By.LINK_TEXT, "Cancel it").click()
    assert "old has not started it. Nothing is changed there." in text(browser)
    driver.find_element(By.XPATH, "//button[text()='Cancel the operation']").click()
    browser.until(lambda: "The operation was cancelled." in text(browser))
    assert "cancelled" in driver.find_element(By.ID, "status").text


def test_server_gone_the_page_says_so(empty_server: Server) -> None:
    with running_browser() as browser:
        log_in(browser, empty_server)
        empty_server.stop()
        browser.until(lambda: "does not answer" in browser.driver.find_element(By.TAG_NAME, "footer").text)
        assert "First steps" in text(browser)  # what was there stays
