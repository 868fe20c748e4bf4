"""Python in a notebook: output as it comes, tables, figures, stopping, starting anew, and output that is an attack."""

import ast
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import STOPPED_IN_PARSING, OpenConsole, run_cell, write_cell
from tests.harness.events import read_events
from tests.harness.requirements import unmet
from tests.harness.server import AtollServer

FIGURE = "import matplotlib.pyplot as plt\nplt.plot([1, 4, 9]); plt.show()\n!rm /mnt/data/figure-*"

# Each of these says on the page, or to somebody else, that it ran or was let out.
HOSTILE = r"""
from IPython.display import display, HTML
display(HTML('''
<script>parent.document.title = "owned"; fetch("http://OUTSIDE/out")</script>
<img src="http://OUTSIDE/out.png" onerror="parent.document.title='owned'">
<svg onload="parent.document.title='owned'"></svg>
<iframe src="http://OUTSIDE/frame"></iframe><iframe srcdoc="<script>top.document.title='owned'</script>"></iframe>
<a href="http://OUTSIDE/link">click</a>
<meta http-equiv="refresh" content="0;url=http://OUTSIDE/refresh">
<link rel="stylesheet" href="http://OUTSIDE/style.css"><style>@import url("http://OUTSIDE/import.css");
p { background: url(http://OUTSIDE/back.png) }</style><base href="http://OUTSIDE/">
<form action="http://OUTSIDE/form"><input name="a"><button>send</button></form>
<a href="javascript:parent.document.title='owned'" target="_top">top</a><p>it is shown</p><b>sent by no form</b>'''))
print("<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>")
print("\x1b]0;owned\x07</pre><h1>owned</h1>")
"""


@pytest.fixture
def page(open_console: OpenConsole, oci_server: AtollServer, notebook: str) -> Page:
    """Give the notebook of the shared container, empty."""
    found = open_console(oci_server, notebook)
    expect(found.get_by_role("textbox", name="Code of cell 1")).to_be_visible()
    return found


@pytest.fixture
def outside() -> Iterator[socket.socket]:
    """Give somebody whom the page must not speak to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def test_output_shows_while_code_runs_which_can_be_interrupted_and_started_anew(page: Page) -> None:
    cell = page.get_by_role("article", name="Cell 1")
    write_cell(page, 1, "import time\nprint('begun', flush=True)\ntime.sleep(300)")
    page.get_by_role("button", name="Add a cell").click()
    write_cell(page, 2, "print('next')")
    page.get_by_role("button", name="Run all").click()
    expect(cell.locator(".logs")).to_have_text("begun\n")
    expect(cell.get_by_role("status")).to_have_text("running")
    page.get_by_role("button", name="Interrupt").click()
    expect(cell.get_by_role("status")).to_contain_text("stopped")
    expect(cell.locator(".logs")).to_contain_text("KeyboardInterrupt")
    expect(page.get_by_role("button", name="Run all")).not_to_have_attribute("aria-disabled", "true")
    expect(page.get_by_role("article", name="Cell 2").locator(".outputs")).to_have_count(0)  # those after it do not run
    run_cell(page, 1, "x = 41")
    write_cell(page, 1, "x + 1")
    page.keyboard.press("Shift+Enter")
    expect(cell.locator(".logs")).to_have_text("42\n")
    expect(page.get_by_role("textbox", name="Code of cell 2")).to_be_focused()
    page.get_by_role("button", name="Restart").click()
    expect(page.get_by_text("Restarted: variables are gone")).to_be_visible()
    page.get_by_role("button", name="Run all").click()
    expect(cell.locator(".logs")).to_contain_text("NameError")
    page.reload()
    expect(cell.locator(".logs")).to_contain_text("NameError")


def test_tables_and_figures(page: Page) -> None:
    cell = page.get_by_role("article", name="Cell 1")
    run_cell(page, 1, "import pandas as pd\npd.DataFrame({'reef': ['Bikini'], 'islands': [23]})")
    table = cell.frame_locator("iframe").get_by_role("table")
    expect(table.get_by_role("cell", name="Bikini")).to_be_visible()
    run_cell(page, 1, FIGURE)
    figure = cell.get_by_role("img")
    expect(figure).to_be_visible()
    assert figure.evaluate("image => image.naturalWidth") > 100


def test_hostile_output_is_shown_and_does_nothing(
    open_console: OpenConsole, oci_server: AtollServer, notebook: str, outside: socket.socket
) -> None:
    page = open_console(oci_server, notebook, stopped=STOPPED_IN_PARSING)
    run_cell(page, 1, HOSTILE.replace("OUTSIDE", f"127.0.0.1:{outside.getsockname()[1]}"))
    cell = page.get_by_role("article", name="Cell 1")
    frame = cell.frame_locator("iframe")
    expect(frame.get_by_text("it is shown")).to_be_visible()
    frame.get_by_text("click").click()
    expect(frame.get_by_text("sent by no form")).to_be_visible()
    expect(cell.locator(".logs")).to_contain_text("<script>document.title='owned'</script>")
    expect(page).to_have_title(re.compile("^shared notebook"))
    assert page.evaluate("document.querySelectorAll('.outputs script, .outputs h1, .outputs [onerror]').length") == 0
    assert cell.locator("iframe").get_attribute("sandbox") == ""
    assert page.evaluate("document.querySelector('iframe').contentDocument") is None
    run_cell(page, 1, "1 + 1")
    expect(cell.locator(".logs")).to_have_text("2\n")
    with pytest.raises(BlockingIOError):
        outside.accept()


def test_the_lines_for_what_was_done_do_it_again(page: Page, oci_server: AtollServer, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        unmet("this needs curl")
    said = """it's "quoted" \\ $HOME `id` é"""
    name = "a 'b';c, d.txt"
    run_cell(page, 1, f"print({said!r})")
    page.get_by_role("tab", name="Files").click()
    page.get_by_label("Files to upload").set_input_files({"name": name, "mimeType": "", "buffer": b"1"})
    expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
    page.get_by_role("button", name="Code for what was just done").click()
    api = oci_server.api()
    container_id = page.url.split("/")[-2]

    def again(language: str, *command: str) -> str:
        page.get_by_role("radio", name=language).check()
        shown = page.get_by_role("dialog").locator("pre").all_inner_texts()
        assert len(shown) == 2
        (tmp_path / name).write_text(language)
        _, ran = (
            subprocess.run(
                [*command, "-c", text],
                cwd=tmp_path,
                env={"PATH": os.environ["PATH"], "ATOLL_API_KEY": oci_server.api_key},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            ).stdout
            for text in shown
        )
        file = api.file_at(container_id, f"/mnt/data/{name}")
        assert api.content(container_id, file["id"]) == language.encode()
        return ran

    told = read_events(again("curl", "bash").splitlines())
    assert said in "".join(event.data.get("delta", "") for event in told)
    assert ast.literal_eval(again("Python", sys.executable)) == {"type": "logs", "logs": f"{said}\n"}
    api.call("DELETE", f"/containers/{container_id}/files/{api.file_at(container_id, f'/mnt/data/{name}')['id']}")
