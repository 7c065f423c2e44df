"""`make screenshots`: takes the README's pictures again, in a real Chromium, from the fleet of `make demo`.

It must not know what is on a page, only where it is. `--to FOLDER --width 390 --dark` takes them for other eyes.
"""

import argparse
import base64
import time
from pathlib import Path

from selenium.webdriver.common.by import By

from demo import server
from demo.__main__ import Demo, running
from demo.api import Api
from tests.support.browser import Browser, running_browser

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
QUALITY = 82
SETTLE = 20.0
"""Seconds that the fleet goes on for, so that something is under way."""


def main() -> None:
    """Write one picture for each page."""
    parser = argparse.ArgumentParser(prog="make screenshots", description=__doc__)
    parser.add_argument("--to", type=Path, default=IMAGES, metavar="FOLDER")
    parser.add_argument("--format", choices=("webp", "png"), default="webp")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=860)
    parser.add_argument("--dark", action="store_true")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    with server.new_folder() as folder, running(folder) as demo, running_browser() as browser:
        time.sleep(SETTLE)
        sign_in(browser, demo)
        look(browser, options.width, options.height, dark=options.dark)
        for name, path in pages(demo).items():
            browser.driver.get(demo.url + path)
            picture = options.to / f"{name}.{options.format}"
            picture.write_bytes(taken(browser, options.format))
            print(f"{picture.name}: {picture.stat().st_size >> 10} KiB")


def pages(demo: Demo) -> dict[str, str]:
    """The path of each page that is taken, by the name of its picture. The machine is one that is behind."""
    behind = Api(int(demo.url.rpartition(":")[2])).call(demo.token, "GET", "/endpoints?status=behind&limit=1")["items"]
    return {"overview": "/", "machine": f"/endpoints/{behind[0]['name']}", "health": "/health/detailed?format=html"}


def sign_in(browser: Browser, demo: Demo) -> None:
    """As the demo's administrator."""
    browser.driver.get(f"{demo.url}/login")
    browser.driver.find_element(By.NAME, "username").send_keys(demo.user)
    field = browser.driver.find_element(By.NAME, "password")
    field.send_keys(demo.password)
    field.submit()


def look(browser: Browser, width: int, height: int, *, dark: bool) -> None:
    """The size of the window in CSS pixels, and the colours that the reader prefers."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    preferred = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})


def taken(browser: Browser, form: str) -> bytes:
    """What the window shows, as the bytes of a picture."""
    wanted = {"format": form} | ({"quality": QUALITY} if form == "webp" else {})
    answer = browser.driver.execute_cdp_cmd("Page.captureScreenshot", wanted)
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    main()
