"""Makes the pictures of the console in ``docs/images`` from a real server: ``scripts/screenshots``."""

import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.harness.api import Api
from tests.harness.outside import outside_world
from tests.harness.poll import wait_until
from tests.harness.server import PROJECT_DIR, AtollServer

FOLDER: Final = PROJECT_DIR / "docs/images"
BYTES_MAX: Final = 200_000
PLACE: Final = "tide-gauge.example.test"

READINGS: Final = """
import numpy as np, pandas as pd
days = pd.date_range("2026-08-01", periods=112)
rng = np.random.default_rng(7)
season = 28.4 + 0.9 * np.sin(np.arange(112) / 112 * np.pi)
readings = pd.DataFrame({"date": days.date} | {
    name: (season + shift + rng.normal(0, 0.16, 112)).round(2)
    for name, shift in {"lagoon": 0.8, "reef flat": 0.35, "outer slope": -0.3}.items()})
readings.to_csv("readings.csv", index=False)
"""
TABLE: Final = """import pandas as pd

readings = pd.read_csv("readings.csv", parse_dates=["date"], index_col="date")
readings.resample("MS").mean().round(2)"""
FIGURE: Final = """import matplotlib.pyplot as plt

readings.rolling(7).mean().plot(figsize=(9, 3.2), ylabel="°C", xlabel="", title="Water temperature, mean of a week")
plt.show()"""
LOAD: Final = """
import numpy as np, time
def work(size):
    a = np.random.rand(size, size)
    return float((a @ a).sum())
end = time.monotonic() + 40
while time.monotonic() < end:
    keep = [work(700) for _ in range(int(1 + 3 * abs(np.sin(time.monotonic() / 7))))]
    ballast = np.ones(int(4e6 * (2 + np.sin(time.monotonic() / 5))))
    time.sleep(0.5)
"""


def main() -> None:
    """Make all of them; the newest take the place of those before."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("This needs Debian's package chromium.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        outside_world(Path(scratch)) as world,
        sync_playwright() as playwright,
    ):
        server = AtollServer("oci", world.settings)
        try:
            server.start()
            busy = furnish(server.api())
            browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
            take_all(browser, server, busy)
            browser.close()
        finally:
            server.close()


def furnish(api: Api) -> str:
    """Make some containers, one of them with work in it; give its id."""
    for name, memory, minutes in (("invoice check", "1g", 60), ("nightly report", "4g", 720), ("geocoding", "1g", 20)):
        made = api.create(name, memory_limit=memory, expires_after={"anchor": "last_active_at", "minutes": minutes})
        api.logs(made["id"], f"import pandas; x = bytearray({len(name) * 6} << 20)")
    policy = {"type": "allowlist", "allowed_domains": ["packages.example.org", "*.weather.example"]}
    busy = str(api.create("reef temperatures", memory_limit="1g", network_policy=policy)["id"])
    api.logs(busy, READINGS)
    return busy


def take_all(browser: Browser, server: AtollServer, busy: str) -> None:
    """Go through the views, light and dark."""
    with opened(browser, server, "#/", "light") as page:
        expect(page.get_by_text(re.compile(r"MB of 1 GB")).first).to_be_visible()
        take(page, "containers")
    tall = {"viewport": {"width": 1200, "height": 1040}}
    with opened(browser, server, f"#/containers/{busy}", "light", **tall) as page:
        cell(page, 1, TABLE)
        expect(page.locator("iframe")).to_be_visible()
        cell(page, 2, FIGURE)
        expect(page.locator("img.figure")).to_be_visible()
        page.evaluate("scrollTo(0, 0)")
        take(page, "notebook")
        page.set_viewport_size({"width": 1200, "height": 760})
        page.get_by_role("button", name="Switch to dark").click()
        page.get_by_role("tab", name="Terminal").click()
        expect(page.get_by_role("region", name="Terminal 1")).to_contain_text("$")
        page.keyboard.type("PS1='\\[\\e[36m\\]reef\\[\\e[0m\\] \\w $ '; clear\n")
        page.keyboard.type("ls -lh --color=always; head -n 4 readings.csv\n")
        page.keyboard.type("python3 -c 'import sys; print(sys.version)'\n")
        expect(page.get_by_role("region", name="Terminal 1")).to_contain_text("3.13")
        take(page, "terminal-dark")
    with opened(browser, server, f"#/containers/{busy}/files", "light") as page:
        page.get_by_role("button", name="readings.csv", exact=True).click()
        expect(page.get_by_role("cell", name="2026-08-01")).to_be_visible()
        take(page, "files")
    api = server.api()
    with opened(browser, server, f"#/containers/{busy}/network", "light") as page:
        api.shell(
            busy,
            f"curl -sS --max-time 3 https://{PLACE}/majuro.json",
            "curl -sS --max-time 3 https://packages.example.net/",
        )
        expect(page.get_by_role("button", name=f"Allow {PLACE}")).to_be_visible()
        take(page, "network")
    with opened(browser, server, f"#/containers/{busy}/activity", "dark") as page:
        api.logs(busy, LOAD)
        wait_until(lambda: len(api.call("GET", f"/containers/{busy}/stats")["history"]) > 7, what="a line to draw")
        page.wait_for_timeout(6000)  # the view asks every five seconds
        take(page, "activity-dark")
    phone = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 2}
    with opened(browser, server, f"#/containers/{busy}", "dark", **phone) as page:
        cell(page, 1, FIGURE)
        expect(page.locator("img.figure")).to_be_visible()
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        take(page, "phone-dark")


@contextmanager
def opened(
    browser: Browser, server: AtollServer, path: str, scheme: Literal["light", "dark"], **options: object
) -> Iterator[Page]:
    """Give a view of a person who is signed in."""
    origin = f"http://127.0.0.1:{server.port}"
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 760}, "color_scheme": scheme, **options})  # type: ignore[arg-type]
    context.add_init_script(f"if (location.origin === '{origin}') sessionStorage['atoll.key'] = '{server.api_key}'")
    page = context.new_page()
    page.goto(f"{origin}/{path}")
    yield page
    context.close()


def cell(page: Page, number: int, code: str) -> None:
    """Run code in a cell, and begin the next."""
    page.get_by_role("textbox", name=f"Code of cell {number}").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_role("article", name=f"Cell {number}").get_by_role("status")).to_contain_text("done")


def take(page: Page, name: str) -> None:
    """Write a picture, in as many colours as a page needs. Raises ``ValueError`` for one that is too large."""
    page.wait_for_timeout(300)  # transitions
    picture = Image.open(io.BytesIO(page.screenshot()))
    path = FOLDER / f"console-{name}.png"
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.relative_to(PROJECT_DIR)}: {size} bytes")
    if size > BYTES_MAX:
        raise ValueError(f"{path} has {size} bytes, more than {BYTES_MAX}")


if __name__ == "__main__":
    main()
