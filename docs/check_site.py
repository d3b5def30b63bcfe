"""`python docs/check_site.py SITE`: serves the built site and opens it in headless chromium."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PAGES = ("index.html", "tutorials/own-data.html", "reference/api.html")


def browser() -> webdriver.Chrome:
    """Chromium without a window."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for each in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"):
        options.add_argument(each)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def served(site: Path) -> Iterator[str]:
    """The address of ``site`` while it is served to this machine alone."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def check(site: str, at: webdriver.Chrome) -> None:
    """No page complains, search finds a word, and the dark scheme is one click away."""
    for page in PAGES:
        at.get(f"{site}/{page}")
        assert at.find_element(By.TAG_NAME, "h1").text, f"{page}: no heading"
        wrong = [line for line in at.get_log("browser") if line["level"] == "SEVERE"]
        assert not wrong, f"{page}: {wrong[0]['message']}"
    at.get(f"{site}/{PAGES[0]}")
    field = at.find_element(By.CSS_SELECTOR, "input.md-search__input")
    field.click()
    field.send_keys("eligibility")
    WebDriverWait(at, 20).until(
        lambda here: here.find_elements(By.CSS_SELECTOR, ".md-search-result__item a")
    )
    at.get(f"{site}/{PAGES[0]}")
    before = at.find_element(By.TAG_NAME, "body").get_attribute("data-md-color-scheme")
    form = "form[data-md-component=palette] label"
    toggle = [e for e in at.find_elements(By.CSS_SELECTOR, form) if e.is_displayed()]
    toggle[0].click()
    WebDriverWait(at, 10).until(
        lambda here: (
            here.find_element(By.TAG_NAME, "body").get_attribute("data-md-color-scheme") != before
        )
    )


if __name__ == "__main__":
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        sys.exit(print("no chromium and chromedriver here: the site isn't opened"))
    opened = browser()
    try:
        with served(Path(sys.argv[1])) as address:
            check(address, opened)
    finally:
        opened.quit()
    print(f"opened {', '.join(PAGES)}: no complaints; search and dark scheme work")
