"""A real Chromium that notes what a page loads and what its console says. It must not know any page."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service

from tests.support.wait import until

REFRESHED = 40  # seconds within which a page has refreshed itself; it does each 5 or 10
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)


class Browser:
    """`driver` is selenium's. `complaints()` and `addresses()` are about all pages since they were asked last."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until it is true, for longer than pages take to refresh themselves; between two pages it isn't."""
        until(condition, REFRESHED, ignoring=(WebDriverException,), otherwise=lambda: self.driver.current_url)

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, refusals by the Content-Security-Policy among them."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def addresses(self) -> list[str]:
        """What was asked over the network, in order."""
        found = []
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                url = event["params"]["request"]["url"]
                if urlsplit(url).scheme not in ("about", "blob", "chrome", "data"):  # the browser's own
                    found.append(url)
        return found

    def assert_silent(self, page: str) -> None:
        """AssertionError with the console's lines and the addresses since they were asked last, if there are lines."""
        lines = self.complaints()
        if lines:
            raise AssertionError("\n  ".join([f"the console at {page}:", *lines, "was asked:", *self.addresses()]))


def origin(address: str) -> str:
    """scheme://host:port of the address."""
    url = urlsplit(address)
    return f"{url.scheme}://{url.netloc}"


@contextlib.contextmanager
def running_browser(*, scripts: bool = True) -> Iterator[Browser]:
    """A fresh profile, gone at the end; without `scripts` pages can run none."""
    with tempfile.TemporaryDirectory(prefix="pacsync-browser-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        preferences: dict[str, Any] = {} if scripts else {"profile.managed_default_content_settings.javascript": 2}
        options.add_experimental_option("prefs", preferences)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
