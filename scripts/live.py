"""Watches a board in a browser until a row appears: live.py URL SUBMISSION-FILE.

Prints `ready` once the page listens, and then, for the submission whose name stands in the file, the Unix time in seconds at
which its row was on the screen. The page is never loaded again: what changes it is its own script, which leaves alone what
the reader opened, sorts on the spot, and holds no connection once nobody looks.
"""

import pathlib
import sys
import time

from playwright.sync_api import sync_playwright

url, file = sys.argv[1], pathlib.Path(sys.argv[2])
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    with page.expect_response(lambda response: "/api/v1/events" in response.url):
        page.goto(url, wait_until="load")
    page.evaluate("window.neverLoadedAgain = true")
    opened = page.locator("#rows details").last
    opened.locator("summary").click()
    row = opened.locator("xpath=ancestor::tbody").get_attribute("id")
    print("ready", flush=True)
    while not file.exists():
        page.wait_for_timeout(10)
    page.wait_for_selector(f"#row-{file.read_text()}", timeout=30_000)
    print(time.time(), flush=True)
    assert page.locator(f"#row-{file.read_text()}.fresh").count(), "a new row doesn't show that it is new"
    assert page.locator(f"#{row} details[open]").count(), "what the reader opened is closed"
    assert page.locator("#said").inner_text(), "nobody told those who don't see"

    page.locator("#rows thead a", has_text="Latency").click()
    page.wait_for_selector("#rows th[aria-sort]:has-text('Latency')", timeout=30_000)
    assert "sort=latency" in page.url, page.url
    assert page.evaluate("window.neverLoadedAgain"), "the page was loaded again"

    page.evaluate(HIDE, True)
    assert not page.locator("#events").count(), "a page that nobody sees goes on listening"
    with page.expect_response(lambda response: "/api/v1/events" in response.url, timeout=30_000):
        page.evaluate(HIDE, False)
    page.wait_for_selector("#events", state="attached")
    page.go_back(wait_until="load")
    assert "sort=latency" not in page.url, page.url
    assert not said, said
    browser.close()
