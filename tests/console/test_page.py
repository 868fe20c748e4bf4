"""The page as such: by keyboard alone, on a phone, in the dark, and when its server goes away."""

import re

from playwright.sync_api import expect

from tests.console.conftest import OpenConsole, run_cell, write_cell
from tests.harness.server import AtollServer, MakeServer


def test_everything_is_done_by_keyboard_alone(open_console: OpenConsole, oci_server: AtollServer) -> None:
    api = oci_server.api()
    page = open_console(oci_server, signed_in=False)
    keys = page.keyboard
    expect(page.get_by_label("Key")).to_be_focused()
    keys.type(oci_server.api_key)
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Containers", exact=True)).to_be_visible()
    keys.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    keys.press("Escape")
    keys.press("n")
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    keys.type("by keyboard")
    keys.press("Tab")
    keys.press("ArrowRight")  # the next memory limit
    expect(page.get_by_label("4 GB", exact=True)).to_be_checked()
    keys.press("Enter")
    cell = page.get_by_role("textbox", name="Code of cell 1")
    expect(cell).to_be_focused()
    keys.type("for x in range(2):\nprint(x)")  # the editor indents
    keys.press("Control+Enter")
    expect(page.locator(".logs")).to_have_text("0\n1\n")
    keys.press("Escape")
    expect(page.get_by_role("button", name="Run cell 1")).to_be_focused()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    keys.press("Tab")
    assert page.evaluate(outline) == "solid"
    keys.press("3")
    screen = page.get_by_role("region", name="Terminal 1")
    expect(screen).to_contain_text("/mnt/data$")
    keys.type("echo hi > by-hand.txt\n")
    keys.press("Control+Shift+ArrowUp")
    expect(page.get_by_role("tab", name="Terminal")).to_be_focused()
    keys.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Files")).to_be_focused()
    opener = page.get_by_role("button", name="by-hand.txt", exact=True)
    expect(opener).to_be_visible()
    for _ in range(8):
        keys.press("Tab")
        if opener.evaluate("one => one === document.activeElement"):
            break
    keys.press("Enter")
    expect(page.get_by_role("dialog").locator("pre")).to_have_text("hi\n")
    keys.press("Escape")
    expect(opener).to_be_focused()
    keys.press("u")
    expect(page.get_by_role("link", name="by keyboard")).to_be_visible()
    keys.press("c")
    lines = page.get_by_role("dialog", name="What was just done, as code")
    expect(lines).to_contain_text("curl -sSN -X POST")
    keys.press("Tab")
    keys.press("ArrowRight")
    expect(lines).to_contain_text('client.containers.create(name="by keyboard", memory_limit="4g")')
    assert oci_server.api_key not in lines.inner_text()
    keys.press("Escape")
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page.get_by_label("Key")).to_be_focused()
    keys.type(oci_server.api_key)
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Containers", exact=True)).to_be_visible()
    keys.press("c")
    expect(lines).to_contain_text("Nothing yet.")  # what the one before has done is nobody's business
    for container in api.containers(name="by keyboard"):
        api.delete(container["id"])


def test_on_a_phone_and_in_the_dark(open_console: OpenConsole, oci_server: AtollServer, notebook: str) -> None:
    page = open_console(oci_server, viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    expect(page.get_by_role("link", name="shared notebook")).to_be_visible()
    assert page.evaluate(overflow) == 0
    background = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Switch to light").click()
    assert page.evaluate(background) != dark
    page.reload()
    expect(page.get_by_role("button", name="Switch to dark")).to_be_visible()
    page.get_by_role("link", name="shared notebook").tap()
    for tab in ("Files", "Terminal", "Network", "Activity", "Notebook"):
        page.get_by_role("tab", name=tab).tap()
        expect(page.get_by_role("tabpanel", name=tab)).to_be_visible()
        assert page.evaluate(overflow) == 0, tab
    run_cell(page, 1, "print('x' * 300)")
    assert page.evaluate(overflow) == 0


def test_a_server_that_goes_away_and_comes_back(open_console: OpenConsole, make_server: MakeServer) -> None:
    server = make_server()
    api = server.api()
    container_id = api.create("survivor")["id"]
    page = open_console(server, f"#/containers/{container_id}")
    run_cell(page, 1, "x = 41")
    page.get_by_role("tab", name="Terminal").click()
    screen = page.get_by_role("region", name="Terminal 1")
    expect(screen).to_contain_text("/mnt/data$")
    page.keyboard.type("y=kept\n")
    page.get_by_role("tab", name="Notebook").click()
    write_cell(page, 1, "import time; print('begun', flush=True); time.sleep(600)")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".logs")).to_have_text("begun\n")
    server.kill_launcher()
    away = page.get_by_text(re.compile("The server at .* does not answer"))
    expect(away).to_be_visible()
    expect(page.get_by_role("article")).to_contain_text("broke off")
    page.get_by_role("button", name="Restart").click()
    expect(page.get_by_role("log", name="Messages")).to_contain_text("The server does not answer.")
    page.get_by_role("tab", name="Terminal").click()
    page.get_by_role("button", name="New terminal").click()
    expect(page.get_by_role("alert").filter(visible=True)).to_contain_text("Not connected yet.")
    server.start()
    expect(away).to_be_hidden()
    expect(page.get_by_role("region", name="Terminal 2")).to_contain_text("/mnt/data$")
    page.get_by_role("button", name="Terminal 1", exact=True).click()
    page.get_by_role("tab", name="Notebook").click()
    run_cell(page, 1, "x + 1")
    expect(page.locator(".logs")).to_contain_text("42")
    page.get_by_role("tab", name="Terminal").click()
    expect(page.locator(".xterm-place.connected").first).to_be_visible()
    page.keyboard.type("echo $y again\n")
    expect(screen).to_contain_text("kept again")
    page.get_by_role("tab", name="Activity").click()
    told = page.get_by_role("listitem")
    expect(told.filter(has_text="events.missed")).to_be_visible()
    expect(told.filter(has_text="call.ended").first).to_be_visible()
