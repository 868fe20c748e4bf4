"""One container's files, terminals, network and what it uses."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.console.conftest import OpenConsole
from tests.harness.api import Api
from tests.harness.outside import WebServer
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer
from tests.network_fixtures import PLAIN, SECURE, allow

SLIDES = "slides-under-the-pointer.example.test"
PASTE = """text => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  document.activeElement.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
}"""
PDF = """
import matplotlib; matplotlib.use("Agg")
import matplotlib.pyplot as plt
plt.figtext(0.1, 0.5, "atoll in a document"); plt.savefig("paper.pdf"); plt.savefig("paper.svg"); plt.close()
open("broken.png", "wb").write(b"no picture"); open("page.html", "w").write("<h1 id=bad>x</h1>")
open("bytes.bin", "wb").write(bytes(range(256)))
"""


# A page as scanners make them, black all over in the compression of faxes, and a word in characters to be looked up.
SCAN = b"""%PDF-1.4
1 0 obj <</Type/Catalog/Pages 2 0 R>> endobj
2 0 obj <</Type/Pages/Kids[3 0 R]/Count 1>> endobj
3 0 obj <</Type/Page/Parent 2 0 R/MediaBox[0 0 80 80]/Contents 4 0 R
/Resources<</XObject<</I 5 0 R>>/Font<</F 6 0 R>>>>>> endobj
4 0 obj <</Length 62>> stream
q 80 0 0 80 0 0 cm /I Do Q BT /F 9 Tf 9 9 Td <8AC28FCA> Tj ET
endstream endobj
5 0 obj <</Type/XObject/Subtype/Image/Width 8/Height 8/BitsPerComponent 1/ColorSpace/DeviceGray
/Filter/CCITTFaxDecode/DecodeParms<</K -1/Columns 8/Rows 8>>/Length 4>> stream
\x26\xa2\xff\xff
endstream endobj
6 0 obj <</Type/Font/Subtype/Type0/BaseFont/Ryumin/Encoding/90ms-RKSJ-H/DescendantFonts[7 0 R]>> endobj
7 0 obj <</Type/Font/Subtype/CIDFontType0/BaseFont/Ryumin/FontDescriptor 8 0 R
/CIDSystemInfo<</Registry(Adobe)/Ordering(Japan1)/Supplement 2>>>> endobj
8 0 obj <</Type/FontDescriptor/FontName/Ryumin/Flags 4/FontBBox[0 0 999 999]/ItalicAngle 0/Ascent 9/Descent 0
/CapHeight 9/StemV 9>> endobj
trailer <</Root 1 0 R>>
%%EOF
"""
ATOLL_IN_JAPANESE = "環礁"

WIDE = 'name;"a ""quoted"" head"' + ";more" * 148 + "\nBikini;23\n"


@pytest.fixture
def box(oci_server: AtollServer) -> Iterator[tuple[Api, str]]:
    """Give a container of one's own."""
    api = oci_server.api()
    container_id = str(api.create("box")["id"])
    yield api, container_id
    api.send("DELETE", f"/containers/{container_id}")


def drop(page: Page, *paths: Path) -> None:
    """Drop files and folders onto the page, as a file manager does."""
    devtools = page.context.new_cdp_session(page)
    box = page.locator(".drop").bounding_box()
    assert box is not None
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        where = {"type": kind, "x": box["x"] + 50, "y": box["y"] + 200}
        devtools.send("Input.dispatchDragEvent", {**where, "data": data})
    devtools.detach()


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
    open_console: OpenConsole, oci_server: AtollServer, box: tuple[Api, str], tmp_path: Path
) -> None:
    api, container_id = box
    page = open_console(oci_server, f"#/containers/{container_id}/files")
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
    (tmp_path / "notes.txt").write_text("<b>dropped</b>")
    (tmp_path / "folder").mkdir()
    drop(page, tmp_path / "folder", tmp_path / "notes.txt")
    expect(page.get_by_role("alert")).to_contain_text("This is a folder")
    page.get_by_role("button", name="Dismiss folder").click()
    (tmp_path / "table.csv").write_text(WIDE)
    (tmp_path / "scan.pdf").write_bytes(SCAN)
    page.get_by_label("Files to upload").set_input_files([tmp_path / "table.csv", tmp_path / "scan.pdf"])
    expect(page.get_by_role("row")).to_have_count(4)
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
    look("scan.pdf")
    expect(dialog.get_by_role("img", name=re.compile(f"Page 1 of 1: {ATOLL_IN_JAPANESE}"))).to_be_visible()
    wait_until(lambda: dialog.locator("canvas").evaluate(drawn), what="the picture of the scanner")
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
    expect(dialog.get_by_text("The first 100 of 150 columns.")).to_be_visible()
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


def test_uploads_show_how_far_they_are_take_turns_and_can_be_stopped(
    open_console: OpenConsole, oci_server: AtollServer, box: tuple[Api, str], tmp_path: Path
) -> None:
    api, container_id = box
    page = open_console(oci_server, f"#/containers/{container_id}/files")
    expect(page.get_by_role("heading", name="No files yet")).to_be_visible()
    page.route(re.compile("/files$"), lambda _: None)  # the server's answer never comes
    files = [tmp_path / f"{number}.bin" for number in range(5)]
    for file in files:
        file.write_bytes(bytes(1 << 20))
    page.get_by_label("Files to upload").set_input_files(files)
    expect(page.get_by_role("progressbar")).to_have_count(3)
    page.get_by_role("button", name="Stop the upload of 1.bin").click()
    expect(page.get_by_role("progressbar", name="Upload of 3.bin")).to_be_visible()
    expect(page.get_by_text("1 more wait for their turn")).to_be_visible()
    assert page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))") is False  # it would ask
    page.get_by_role("button", name="Drop those that wait").click()
    for name in ("0.bin", "2.bin", "3.bin"):
        page.get_by_role("button", name=f"Stop the upload of {name}").click()
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
    page.keyboard.type("cat made; stty -echo; echo read''y; wc -c\n")
    expect(second).to_contain_text("<i>")
    expect(second).to_contain_text("ready")
    page.evaluate(PASTE, f"{'x' * 99}\n" * 1000)  # more than fits into one message
    page.keyboard.press("Control+d")
    expect(second).to_contain_text("100000")
    page.reload()
    expect(page.get_by_role("button", name="Terminal 2", exact=True)).to_be_visible()
    expect(screen).to_contain_text("echo a''b")  # it was there all the time
    page.keyboard.type("exit\n")
    expect(page.get_by_role("alert")).to_contain_text("The shell has ended.")
    page.get_by_role("button", name="Close terminal 2").click()
    wait_until(lambda: api.call("GET", f"/containers/{container_id}/terminals")["data"] == [], what="the end of both")


def test_a_terminal_that_ends_breaks_or_floods(
    open_console: OpenConsole, oci_server: AtollServer, box: tuple[Api, str]
) -> None:
    _, container_id = box
    page = open_console(oci_server, "health")
    opened: list[WebSocketRoute] = []

    def open_(socket: WebSocketRoute) -> None:
        opened.append(socket)
        socket.on_message(lambda message: socket.send(repr(message).encode()))
        if len(opened) <= 2:
            socket.close(code=1006)  # what a page sees of a handshake that is refused, by a proxy, say
        elif len(opened) != 5:
            attach(socket)

    def attach(socket: WebSocketRoute) -> None:
        socket.send(json.dumps({"type": "attached", "terminal_id": f"term_{len(opened)}"}))
        socket.send(f"connection {len(opened)} ".encode())

    def show_later(text: str) -> None:
        def look() -> bool:
            page.clock.fast_forward(1000)
            return page.get_by_text(text).count() > 0

        wait_until(look, what=text)

    page.route_web_socket(re.compile("/terminal"), open_)
    page.clock.install()
    page.goto(f"/#/containers/{container_id}/terminal")
    screen = page.locator(".xterm-place")
    alert = page.get_by_role("alert")

    def connected(count: int) -> str:
        expect(screen).to_contain_text(f"connection {count} ")
        return opened[-1].url

    show_later("The server answers, but not to a WebSocket")
    page.get_by_role("button", name="Open a new one").click()
    assert "terminal_id" not in connected(3)
    opened[-1].close(code=1000, reason="The shell has ended.")
    expect(alert).to_contain_text("The shell has ended.")
    page.get_by_role("button", name="Open a new one").click()
    assert "terminal_id" not in connected(4)
    # What is not drawn yet is bounded: the connection is let go, and what is typed meanwhile comes after the next.
    opened[-1].send(bytes(2 << 20))
    wait_until(lambda: page.evaluate("true") and len(opened) == 5, what="another connection once all is drawn")
    page.keyboard.press("Control+c")
    attach(opened[-1])
    assert "terminal_id=term_4" in connected(5)
    expect(screen).to_contain_text(r"b'\x03'")
    # Another window has taken it: it is not taken back only because the server was away.
    opened[-1].close(code=4409, reason="Another connection has taken the terminal over.")
    expect(alert).to_contain_text("taken the terminal over")
    refuse = "**/containers?limit=1&order=asc*"
    page.route(refuse, lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"), times=1)
    oci_server.api().call("POST", f"/containers/{container_id}", json={"name": "renamed"})
    expect(page.get_by_text("does not answer")).to_be_visible()
    show_later("renamed")  # it was back at once
    # A refusal is told beside what is shown.
    page.route(refuse, lambda route: route.fulfill(status=500, json={"error": {"message": "Nobody knows."}}), times=1)
    oci_server.api().call("POST", f"/containers/{container_id}", json={"name": "renamed again"})
    expect(alert.filter(has_text="Nobody knows.")).to_be_visible()
    expect(alert.filter(has_text="taken the terminal over")).to_be_visible()
    page.get_by_role("button", name="Connect again").click()
    assert "terminal_id=term_5" in connected(6)


def test_what_is_refused_shows_at_once_and_is_allowed_by_one_press(
    open_console: OpenConsole, network_server: AtollServer, plain_web: WebServer
) -> None:
    api = network_server.api()
    container_id = allow(api, SECURE)
    page = open_console(network_server, "health")
    page.clock.install(time="2040-01-01")  # another time than the server's
    page.goto(f"/#/containers/{container_id}/network")
    expect(page.get_by_role("heading", name="Allowed")).to_be_visible()
    expect(page.get_by_text(SECURE)).to_be_visible()
    curl = f"curl -sS --max-time 5 http://{PLAIN}/hello"
    api.shell(container_id, curl)
    attempt = page.get_by_role("listitem").filter(has_text="not on the list")
    expect(attempt.first).to_contain_text(PLAIN)
    attempt.first.hover()
    api.shell(container_id, f"curl -sS --max-time 5 http://{SLIDES}/")
    expect(page.get_by_text("more when the pointer leaves the list")).to_be_visible()
    expect(attempt.first).to_contain_text(PLAIN)
    page.get_by_role("heading", name="Allowed").hover()
    expect(attempt.filter(has_text=SLIDES).first).to_be_visible()
    buttons = [page.get_by_role("button", name=f"Allow {name}").element_handle() for name in (PLAIN, SLIDES)]
    page.evaluate(
        "buttons => buttons.forEach(button => button.click())", buttons
    )  # the second before the first is done
    expect(attempt.filter(has_text="allowed now")).to_have_count(2)
    (output,) = api.shell(container_id, curl)
    assert output["stdout"].startswith("GET /hello")
    page.clock.fast_forward(5000)
    expect(page.get_by_role("listitem").filter(has_text="went through")).to_contain_text(f"{PLAIN}:80")
    page.get_by_role("button", name=f"Allow {SECURE} no more").click()
    expect(page.get_by_text(f"{SECURE} is allowed no more.")).to_be_visible()
    page.get_by_label("Domain to allow").fill("https://no.example/")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("allowed_domains")
    assert api.retrieve(container_id)["network_policy"]["allowed_domains"] == [PLAIN, SLIDES]
    api.delete(container_id)


def test_what_it_uses_and_what_happens_is_shown_and_looking_is_no_use(
    open_console: OpenConsole, oci_server: AtollServer, box: tuple[Api, str]
) -> None:
    api, container_id = box
    api.logs(container_id, "open('made.txt', 'w').write('x')")
    used_at = api.containers(name="box")[0]["last_active_at"]
    for minutes in range(30, 50):
        api.call(
            "POST",
            f"/containers/{container_id}",
            json={"expires_after": {"anchor": "last_active_at", "minutes": minutes}},
        )
    page = open_console(oci_server, "health")
    looks: list[str] = []
    page.on("request", lambda request: looks.append(request.url) if "limit=1&order=asc" in request.url else None)
    page.goto(f"/#/containers/{container_id}/activity")
    expect(page.get_by_role("listitem").filter(has_text="container.updated")).to_have_count(20)
    assert len(looks) < 10  # what has happened before is no reason to look at each time
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
