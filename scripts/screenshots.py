"""Photographs the pages of a running validator and looks for barriers: screenshots.py URL FOLDER [NAME...].

Each page at two widths in both colour schemes. A page fails if it is wider than the screen, logs an error, breaks its
content security policy, or has a barrier that axe calls serious or critical. NAME picks pages by their name.
"""

import json
import pathlib
import re
import sys
import urllib.request

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

WIDTHS = {"phone": 390, "desk": 1280}
SCHEMES = ["light", "dark"]
# Taller pages are cut: a picture is for looking at.
HEIGHT_MAX = 5_000


def read(base, path):
    with urllib.request.urlopen(base + path) as answer:
        return json.load(answer)


def addresses(base):
    """The pages by name, found as a visitor finds them: through the API."""
    pages = {"home": "/", "api": "/api", "missing": "/competitions/nothing", "asked": "/competitions/x?sort=speed"}
    competition = read(base, "/api/v1/competitions")[0]["competition"]["manifest"]["id"]
    board = f"/competitions/{competition}"
    pages |= {
        "board": board,
        "board-sorted": f"{board}?sort=latency",
        "board-filtered": f"{board}?division=c97&family=resnet",
        "operator": "/operator#token=a%20gallery%20has%20no%20secrets",
    }
    for at in read(base, f"/api/v1{board}/rounds"):
        pages.setdefault(f"round-{at['step']}", f"{board}/rounds/{at['round']}")
    leaderboard = read(base, f"/api/v1{board}/leaderboard")
    rows = leaderboard["rows"]
    champion = next(row for row in rows if row["submission"] and row["submission"] == leaderboard["champion"])
    ranked = [row for row in rows if row["rank"]]
    pages["champion"] = f"/submissions/{champion['submission']}"
    pages["scored"] = f"/submissions/{ranked[len(ranked) // 2]['submission']}"
    pages["miner"] = f"/miners/{champion['hotkey']}"
    for state in ["awaiting_upload", "queued", "evaluating", "rejected", "expired"]:
        for found in read(base, f"/api/v1/submissions?state={state}&limit=1"):
            pages[state.replace("_", "-")] = f"/submissions/{found['id']}"
    for row in rows:
        if row["submission"]:
            with urllib.request.urlopen(f"{base}/submissions/{row['submission']}") as answer:
                found = re.search(r'href="(/copies/[^"]+)"', answer.read().decode())
            if found:
                pages["copies"] = found.group(1)
                break
    return pages


def main():
    base, folder, wanted = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    folder.mkdir(parents=True, exist_ok=True)
    pages = {name: path for name, path in addresses(base).items() if not wanted or name in wanted}
    failures, looked = [], 0
    axe = Axe()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for device, width in WIDTHS.items():
            for scheme in SCHEMES:
                context = browser.new_context(
                    viewport={"width": width, "height": 844}, color_scheme=scheme, reduced_motion="reduce", bypass_csp=False
                )
                for name, path in pages.items():
                    page = context.new_page()
                    said = []
                    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
                    page.on("pageerror", lambda error: said.append(str(error)))
                    page.goto(base + path, wait_until="load")
                    if name == "operator":
                        page.wait_for_selector("#controls")
                    # The answers that are meant to be bad are errors of nobody.
                    said = [text for text in said if "status of 40" not in text]
                    where = f"{name} {device} {scheme}"
                    for details in page.locator("details").all()[:2]:
                        details.evaluate("element => { element.open = true; }")
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    if wide > width:
                        failures.append(f"{where}: {wide} px wide on {width} px")
                    failures += [f"{where}: {text}" for text in said]
                    height = min(page.evaluate("document.documentElement.scrollHeight"), HEIGHT_MAX)
                    page.screenshot(
                        path=folder / f"{name}-{device}-{scheme}.png",
                        full_page=True,
                        clip={"x": 0, "y": 0, "width": width, "height": height},
                    )
                    for found in axe.run(page).response["violations"]:
                        looked_at = [", ".join(map(str, node["target"])) for node in found["nodes"]]
                        line = f"{where}: {found['impact']} {found['id']}: {found['help']} ({'; '.join(looked_at[:4])})"
                        if found["impact"] in ("serious", "critical"):
                            failures.append(line)
                        else:
                            print("note:", line)
                    looked += 1
                    page.close()
                context.close()
        browser.close()
    print(f"{looked} pictures of {len(pages)} pages in {folder}")
    for failure in failures:
        print("FAIL:", failure)
    sys.exit(1 if failures else 0)


main()
