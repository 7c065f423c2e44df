"""A real Chromium that notes what a page loads and what its console says. It must not know any page."""

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

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
    """`driver` is selenium's. `complaints()` and `origins()` are about all pages since they were asked last."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, refusals by the Content-Security-Policy among them."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def origins(self) -> set[str]:
        """Where requests over the network went to, as scheme://host:port."""
        found = set()
        for entry in self.driver.get_log("performance"):
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                url = urlsplit(event["params"]["request"]["url"])
                if url.scheme not in ("about", "blob", "chrome", "data"):  # the browser's own
                    found.add(f"{url.scheme}://{url.netloc}")
        return found


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
