"""Watches a board in a browser until a row appears: live.py URL SUBMISSION-FILE.

Prints `ready` once the page listens, and then, for the submission whose name stands in the file, the Unix time in seconds at
which its row was on the screen. The page is never loaded again: what changes it is its own script.
"""

import pathlib
import sys
import time

from playwright.sync_api import sync_playwright

url, file = sys.argv[1], pathlib.Path(sys.argv[2])
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_page()
    said = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    with page.expect_response(lambda response: "/api/v1/events" in response.url):
        page.goto(url, wait_until="load")
    page.evaluate("window.neverLoadedAgain = true")
    print("ready", flush=True)
    while not file.exists():
        page.wait_for_timeout(10)
    page.wait_for_selector(f'tbody[data-key="{file.read_text()}"]', timeout=30_000)
    print(time.time(), flush=True)
    assert page.evaluate("window.neverLoadedAgain"), "the page was loaded again"
    assert not said, said
    browser.close()
