"""One container's files, terminals, network and what it uses."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import OpenConsole
from tests.harness.api import Api
from tests.harness.outside import WebServer
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer
from tests.network_fixtures import PLAIN, SECURE, allow

PDF = """
import matplotlib; matplotlib.use("Agg")
import matplotlib.pyplot as plt
plt.figtext(0.1, 0.5, "atoll in a document"); plt.savefig("paper.pdf"); plt.savefig("paper.svg"); plt.close()
open("broken.png", "wb").write(b"no picture"); open("page.html", "w").write("<h1 id=bad>x</h1>")
open("bytes.bin", "wb").write(bytes(range(256)))
"""


@pytest.fixture
def box(oci_server: AtollServer) -> Iterator[tuple[Api, str]]:
    """Give a container of one's own."""
    api = oci_server.api()
    container_id = str(api.create("box")["id"])
    yield api, container_id
    api.send("DELETE", f"/containers/{container_id}")


def drop(page: Page, name: str, text: str) -> None:
    """Drop a file onto the page, as a file manager would."""
    transfer = page.evaluate_handle(
        "([name, text]) => { const t = new DataTransfer(); t.items.add(new File([text], name)); return t }",
        [name, text],
    )
    page.locator(".drop").dispatch_event("drop", {"dataTransfer": transfer})


def see(page: Page, *, hidden: bool) -> None:
    """Tell the page that it is seen, or no more."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')) }",
        hidden,
    )


def streams_open(server: AtollServer) -> int:
    """Give how many streams of events the server has open."""
    headers = {"Authorization": f"Bearer {server.api_key}"}
    text = httpx.get(f"http://127.0.0.1:{server.port}/metrics", headers=headers, trust_env=False).text
    found = re.search(r"^atoll_event_streams_open (\d+)", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_files_go_in_are_looked_at_and_come_out(
    open_console: OpenConsole, oci_server: AtollServer, box: tuple[Api, str]
) -> None:
    api, container_id = box
    page = open_console(oci_server, f"#/containers/{container_id}/files")
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
    drop(page, "notes.txt", "<b>dropped</b>")
    page.get_by_label("Files to upload").set_input_files(
        {"name": "table.csv", "mimeType": "text/csv", "buffer": b'name;"a ""quoted"" head"\nBikini;23\n'}
    )
    expect(page.get_by_role("row")).to_have_count(3)
    assert api.content(container_id, api.file_at(container_id, "/mnt/data/notes.txt")["id"]) == b"<b>dropped</b>"
    api.logs(container_id, PDF)  # shows up by itself
    dialog = page.get_by_role("dialog")

    def look(name: str) -> None:
        page.get_by_role("button", name=name, exact=True).click()

    look("paper.pdf")
    expect(dialog.get_by_role("img", name=re.compile("Page 1 of 1: .*atoll in a document"))).to_be_visible()
    drawn = (
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((one, at) => at % 4 < 3 && one < 90)"
    )
    wait_until(lambda: dialog.locator("canvas").evaluate(drawn), what="ink on the page")
    page.keyboard.press("Escape")
    look("paper.svg")
    expect(dialog.locator("img")).to_have_js_property("complete", value=True)
    assert dialog.locator("img").evaluate("image => image.naturalWidth") > 100
    page.keyboard.press("Escape")
    look("notes.txt")
    expect(dialog.locator("pre")).to_have_text("<b>dropped</b>")
    page.keyboard.press("Escape")
    look("page.html")
    expect(dialog.locator("pre")).to_have_text("<h1 id=bad>x</h1>")
    page.keyboard.press("Escape")
    look("table.csv")
    expect(dialog.get_by_role("columnheader").nth(1)).to_have_text('a "quoted" head')
    expect(dialog.get_by_role("cell", name="23")).to_be_visible()
    page.keyboard.press("Escape")
    look("broken.png")
    expect(dialog.get_by_text("no image that could be shown")).to_be_visible()
    page.keyboard.press("Escape")
    look("bytes.bin")
    expect(dialog.get_by_text("no text that could be shown")).to_be_visible()
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "bytes.bin"
    assert download.value.path().read_bytes() == bytes(range(256))
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete bytes.bin").click()
    dialog.get_by_role("button", name="Delete file").click()
    expect(page.get_by_role("button", name="bytes.bin", exact=True)).to_have_count(0)
    assert "/mnt/data/bytes.bin" not in {file["path"] for file in api.files(container_id)}


def test_an_upload_shows_how_far_it_is_and_can_be_stopped(
    open_console: OpenConsole, oci_server: AtollServer, box: tuple[Api, str]
) -> None:
    api, container_id = box
    page = open_console(oci_server, f"#/containers/{container_id}/files")
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
    page.route(re.compile("/files$"), lambda _: None)  # the server's answer never comes
    page.get_by_label("Files to upload").set_input_files(
        {"name": "large.bin", "mimeType": "", "buffer": bytes(3 << 20)}
    )
    expect(page.get_by_role("progressbar", name="Upload of large.bin")).to_be_visible()
    page.get_by_role("button", name="Stop the upload of large.bin").click()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    assert api.files(container_id) == []


def test_terminals_are_typed_into_interrupted_and_come_back(
    open_console: OpenConsole, oci_server: AtollServer, box: tuple[Api, str]
) -> None:
    api, container_id = box
    page = open_console(oci_server, f"#/containers/{container_id}/terminal")
    screen = page.get_by_role("region", name="Terminal 1")
    expect(screen).to_contain_text("/mnt/data$")
    page.keyboard.type("echo a''b; cat\n")
    expect(screen).to_contain_text("ab")
    page.keyboard.press("Control+c")
    page.keyboard.type("echo \\<i\\> > made; stty size\n")
    expect(screen).to_contain_text(re.compile(r"\d\d 1\d\d"))
    page.get_by_role("button", name="New terminal").click()
    second = page.get_by_role("region", name="Terminal 2")
    expect(second).to_contain_text("/mnt/data$")
    page.keyboard.type("cat made\n")
    expect(second).to_contain_text("<i>")
    page.reload()
    expect(page.get_by_role("button", name="Terminal 2", exact=True)).to_be_visible()
    expect(screen).to_contain_text("echo a''b")  # it was there all the time
    page.keyboard.type("exit\n")
    expect(page.get_by_role("alert")).to_contain_text("The shell has ended.")
    page.get_by_role("button", name="Close terminal 2").click()
    wait_until(lambda: api.call("GET", f"/containers/{container_id}/terminals")["data"] == [], what="the end of both")


def test_what_is_refused_shows_at_once_and_is_allowed_by_one_press(
    open_console: OpenConsole, network_server: AtollServer, plain_web: WebServer
) -> None:
    api = network_server.api()
    container_id = allow(api, SECURE)
    page = open_console(network_server, f"#/containers/{container_id}/network")
    expect(page.get_by_role("heading", name="Allowed")).to_be_visible()
    expect(page.get_by_text(SECURE)).to_be_visible()
    curl = f"curl -sS --max-time 5 http://{PLAIN}/hello"
    api.shell(container_id, curl)
    attempt = page.get_by_role("listitem").filter(has_text="not on the list")
    expect(attempt.first).to_contain_text(PLAIN)
    attempt.first.hover()
    api.shell(container_id, "curl -sS --max-time 5 http://slides-under-the-pointer.example.test/")
    expect(page.get_by_text("more when the pointer leaves the list")).to_be_visible()
    expect(attempt.first).to_contain_text(PLAIN)
    attempt.first.get_by_role("button", name=f"Allow {PLAIN}").click()
    expect(attempt.first).to_contain_text("allowed now")
    (output,) = api.shell(container_id, curl)
    assert output["stdout"].startswith("GET /hello")
    page.get_by_role("button", name="Refresh").click()
    expect(attempt.filter(has_text="slides-under-the-pointer").first).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="went through")).to_contain_text(f"{PLAIN}:80")
    page.get_by_role("button", name=f"Allow {SECURE} no more").click()
    expect(page.get_by_text(f"{SECURE} is allowed no more.")).to_be_visible()
    page.get_by_label("Domain to allow").fill("https://no.example/")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("allowed_domains")
    assert api.retrieve(container_id)["network_policy"]["allowed_domains"] == [PLAIN]
    api.delete(container_id)


def test_what_it_uses_and_what_happens_is_shown_and_looking_is_no_use(
    open_console: OpenConsole, oci_server: AtollServer, box: tuple[Api, str]
) -> None:
    api, container_id = box
    api.logs(container_id, "open('made.txt', 'w').write('x')")
    used_at = api.containers(name="box")[0]["last_active_at"]
    page = open_console(oci_server, f"#/containers/{container_id}/activity")
    memory = page.get_by_role("term").filter(has_text="Memory").locator("xpath=..")
    expect(memory).to_contain_text(re.compile(r"\d+ MB of 1 GB"))
    expect(page.get_by_role("img", name="Memory over the last minutes").locator("canvas")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="file.changed")).to_contain_text("made.txt created, 1 B")
    # A page that nobody sees holds no connection, and makes up for it when it is seen again.
    see(page, hidden=True)
    wait_until(lambda: streams_open(oci_server) == 0, what="the end of the stream of a hidden page")
    api.logs(container_id, "1")
    see(page, hidden=False)
    expect(page.get_by_role("listitem").filter(has_text="call.ended")).to_have_count(2)
    used_again_at = api.containers(name="box")[0]["last_active_at"]
    page.reload()
    expect(memory).to_contain_text("of 1 GB")
    assert used_at <= used_again_at == api.containers(name="box")[0]["last_active_at"]
    page.get_by_role("button", name="Change name and expiry").click()
    page.get_by_label("Name", exact=True).fill("box of mine")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="box of mine")).to_be_visible()
    api.delete(container_id)
    expect(page.get_by_role("heading", name="This container is gone")).to_be_visible()
