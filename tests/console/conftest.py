"""A real browser, and people who use the console in it."""

import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.harness.poll import wait_until
from tests.harness.requirements import unmet
from tests.harness.server import PROJECT_DIR, AtollServer

PATIENCE_MS = 60_000
_MARK = "ATOLL_TEST_BROWSER"

_VIOLATION = "stopped: "
STOPPED_IN_PARSING = (_VIOLATION + "script-src-attr inline", _VIOLATION + "base-uri ")

_TELL_VIOLATIONS = f"""
if (window.top === window)
  addEventListener("securitypolicyviolation", (one) =>
    console.error("{_VIOLATION}" + one.violatedDirective + " " + one.blockedURI));
"""

OpenConsole = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give Debian's Chromium; nothing of it may be left at the end.

    One for each module: an event loop of Playwright's runs in this thread as long as it is there, beside which no
    asynchronous test can run.
    """
    program = shutil.which("chromium")
    if program is None:
        unmet("the console's tests need Debian's package chromium")
    if not (PROJECT_DIR / "src/atoll/console/index.html").exists():
        unmet("the console is not built: scripts/test and console/build do it")
    mark = secrets.token_hex(8)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox"],  # its own sandbox does not go with root; every page here is ours
            env={**os.environ, _MARK: mark},
            timeout=PATIENCE_MS,
        )
        yield started
        started.close()
    wait_until(lambda: not _left(mark), what="the end of every process of the browser")


def _left(mark: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{_MARK}={mark}".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.fixture
def open_console(browser: Browser) -> Iterator[OpenConsole]:
    """Open the console of a server as somebody who is signed in already.

    At the end no page may have asked anybody but its server, thrown an error, or been stopped by its policy, except
    by what ``stopped`` names.
    """
    with ExitStack() as stack:

        def open_(
            server: AtollServer,
            path: str = "",
            *,
            signed_in: bool = True,
            stopped: Collection[str] = (),
            **options: Any,
        ) -> Page:
            return stack.enter_context(_watched(browser, server, path, signed_in=signed_in, stopped=stopped, **options))

        yield open_


@contextmanager
def _watched(
    browser: Browser, server: AtollServer, path: str, *, signed_in: bool, stopped: Collection[str], **options: Any
) -> Iterator[Page]:
    origin = f"http://127.0.0.1:{server.port}"
    size = {"width": 1200, "height": 800}
    context: BrowserContext = browser.new_context(**{"viewport": size, "base_url": origin, **options})
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(_TELL_VIOLATIONS)
    if signed_in:
        context.add_init_script(f"if (location.origin === '{origin}') sessionStorage['atoll.key'] = '{server.api_key}'")
    asked: list[str] = []
    wrong: list[str] = []
    context.on("requestfinished", lambda request: asked.append(request.url))
    context.on("requestfailed", lambda request: asked.append(request.url) if request.failure != "csp" else None)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    page = context.new_page()
    page.on("console", lambda said: wrong.append(said.text) if said.text.startswith(_VIOLATION) else None)
    page.goto(f"{origin}/{path}")
    yield page
    context.close()
    assert [url for url in asked if not url.startswith((f"{origin}/", f"blob:{origin}/", "data:", "about:"))] == []
    assert [what for what in wrong if not what.startswith(tuple(stopped))] == []


@pytest.fixture(scope="session")
def notebook(oci_server: AtollServer) -> Iterator[str]:
    """Give the address of a container that tests of this folder share; each leaves its files as it found them."""
    api = oci_server.api()
    container_id = api.create("shared notebook")["id"]
    yield f"#/containers/{container_id}"
    api.delete(container_id)


def write_cell(page: Page, number: int, code: str) -> None:
    """Type code into a cell."""
    cell = page.get_by_role("textbox", name=f"Code of cell {number}")
    cell.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(code)


def run_cell(page: Page, number: int, code: str) -> None:
    """Type code into a cell, and run it to its end."""
    write_cell(page, number, code)
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("article", name=f"Cell {number}").get_by_role("status")).to_contain_text("done")
