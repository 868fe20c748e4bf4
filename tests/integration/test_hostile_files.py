"""Files that are meant to lead outside, to hang the server or to fill the host, and do none of it."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.harness.api import Api

MARK = "only inside"


@pytest.fixture(scope="module")
def box(oci_api: Api) -> Iterator[str]:
    """Give one container for all tests of this module; each uses names of its own."""
    container_id = oci_api.create("hostile")["id"]
    yield container_id
    oci_api.delete(container_id)


def paths(api: Api, container_id: str) -> list[str]:
    """Give the paths of all files."""
    return [file["path"] for file in api.files(container_id)]


def run(api: Api, container_id: str, command: str) -> str:
    """Run one command that must succeed; give its output."""
    (output,) = api.shell(container_id, command)
    assert output["outcome"] == {"type": "exit", "exit_code": 0}, output
    stdout = output["stdout"]
    assert isinstance(stdout, str)
    return stdout


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../etc/shadow", "/proc/1/environ", "/", "link", "/mnt/data/../../etc"]
)
def test_links_are_not_files(target: str, box: str, oci_api: Api) -> None:
    run(oci_api, box, f"ln -sfn {target} link; mkdir -p dir; ln -sfn {target} dir/below")
    assert not [path for path in paths(oci_api, box) if "link" in path or "below" in path]


def test_upload_replaces_a_link_and_does_not_follow_it(box: str, oci_api: Api) -> None:
    before = run(oci_api, box, "sha256sum /etc/passwd")
    run(oci_api, box, "ln -s /etc/passwd over; ln -s /tmp/made-by-upload dangling")
    for name in ("over", "dangling"):
        oci_api.upload(box, name, b"uploaded")
        assert run(oci_api, box, f"test -L {name} && echo link || cat {name}") == "uploaded"
    assert run(oci_api, box, "sha256sum /etc/passwd") == before
    assert run(oci_api, box, "ls /tmp/made-by-upload 2>/dev/null || echo none") == "none\n"


@pytest.mark.parametrize("target", ["/etc/shadow", "/proc/1/environ", "/proc/1/mem", "/dev/zero"])
def test_a_file_that_becomes_a_link(target: str, box: str, oci_api: Api) -> None:
    run(oci_api, box, f"rm -rf turns; echo {MARK} > turns")
    file = oci_api.file_at(box, "/mnt/data/turns")
    run(oci_api, box, f"rm turns; ln -s {target} turns")
    for method, path in (("GET", ""), ("GET", "/content"), ("DELETE", "")):
        response = oci_api.send(method, f"/containers/{box}/files/{file['id']}{path}")
        assert response.status_code == 404, response.text[:200]
    assert run(oci_api, box, "readlink turns") == f"{target}\n", "the link itself is left alone"


def test_a_folder_that_becomes_a_link(box: str, oci_api: Api) -> None:
    run(oci_api, box, "mkdir deep; echo mine > deep/passwd")
    file = oci_api.file_at(box, "/mnt/data/deep/passwd")
    run(oci_api, box, "rm -r deep; ln -s /etc deep")
    assert oci_api.send("GET", f"/containers/{box}/files/{file['id']}/content").status_code == 404
    assert oci_api.send("DELETE", f"/containers/{box}/files/{file['id']}").status_code == 404
    assert "root:" in run(oci_api, box, "cat /etc/passwd")


def test_changing_links_while_files_are_read(container: str, oci_api: Api) -> None:
    """A name that is a file and a link in turn gives the file's content or an error, never the link's target."""
    run(oci_api, container, "echo mine > swap")
    file = oci_api.file_at(container, "/mnt/data/swap")
    run(
        oci_api,
        container,
        "(echo mine > a; while true; do cp a b; mv b swap; ln -s /etc/passwd c; mv -T c swap; done) > /dev/null 2>&1 &",
    )
    seen = {oci_api.send("GET", f"/containers/{container}/files/{file['id']}/content").text for _ in range(150)}
    assert not [content for content in seen if "root:" in content]


@pytest.mark.parametrize(
    ("make", "name"),
    [
        ("mkfifo pipe", "pipe"),
        ("python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('sock')\"", "sock"),
        ("mkdir folder", "folder"),
    ],
)
def test_what_is_no_regular_file(make: str, name: str, box: str, oci_api: Api) -> None:
    run(oci_api, box, make)
    assert f"/mnt/data/{name}" not in paths(oci_api, box)
    response = oci_api.send("POST", f"/containers/{box}/files", files={"file": (name, b"uploaded")})
    assert response.status_code in (200, 400), response.text
    if response.status_code == 200:
        assert run(oci_api, box, f"cat {name}") == "uploaded"


def test_a_file_that_becomes_a_pipe(box: str, oci_api: Api) -> None:
    run(oci_api, box, "echo x > tube")
    file = oci_api.file_at(box, "/mnt/data/tube")
    run(oci_api, box, "rm tube; mkfifo tube")
    assert oci_api.send("GET", f"/containers/{box}/files/{file['id']}/content").status_code == 404


@pytest.mark.parametrize("device", ["mknod disk b 7 0", "mknod null c 1 3", "mknod kmsg c 1 11"])
def test_devices_cannot_be_made(device: str, box: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(box, device)
    assert "Operation not permitted" in output["stderr"]


@pytest.mark.parametrize(
    "name",
    ["new\nline", "tab\tquote\"'", "ü" * 127 + "x", "x" * 255, "-rf", " ", "%2e%2e", "a;b&c$(d)`e`", "\u202etxt.exe"],
)
def test_odd_names_both_ways(name: str, box: str, oci_api: Api) -> None:
    oci_api.logs(box, f"open({name!r}, 'w').write({name!r})")
    file = oci_api.file_at(box, f"/mnt/data/{name}")
    assert file["source"] == "assistant"
    response = oci_api.send("GET", f"/containers/{box}/files/{file['id']}/content")
    assert response.content == name.encode()
    assert "\n" not in response.headers["content-disposition"]
    oci_api.call("DELETE", f"/containers/{box}/files/{file['id']}")
    assert f"/mnt/data/{name}" not in paths(oci_api, box)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("x" * 255, "x" * 255),
        ("ü.txt", "ü.txt"),
        ("../../escape.txt", "escape.txt"),
        ("/etc/absolute.txt", "absolute.txt"),
        ("..\\..\\windows.txt", None),
        ("with space & ampersand.txt", "with space & ampersand.txt"),
    ],
)
def test_names_of_uploads(name: str, kept: str | None, box: str, oci_api: Api) -> None:
    file = oci_api.upload(box, name, b"content")
    assert file["path"].startswith("/mnt/data/")
    assert ".." not in file["path"].split("/")
    if kept is not None:
        assert file["path"] == f"/mnt/data/{kept}"


@pytest.mark.parametrize("name", ["..", ".", "folder/", "x" * 256, "nul\0byte"])
def test_names_that_cannot_be(name: str, box: str, oci_api: Api) -> None:
    body = (
        f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\ncontent\r\n--b--\r\n'
    ).encode()
    response = oci_api.send(
        "POST",
        f"/containers/{box}/files",
        content=body,
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert response.status_code == 400, response.text
    assert response.json()["error"]["type"] == "invalid_request_error"


def test_names_that_are_no_text_are_left_out(box: str, oci_api: Api) -> None:
    run(oci_api, box, r"touch $'bad\xffname' good-name")
    found = paths(oci_api, box)
    assert "/mnt/data/good-name" in found
    assert not [path for path in found if "bad" in path]


def test_sparse_terabyte(container: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(
        container, "truncate -s 1T huge && echo tail | dd of=huge bs=1 seek=$((2**40 - 5)) conv=notrunc"
    )
    if output["outcome"]["exit_code"] != 0:
        assert "File size limit exceeded" in output["stderr"], output
        return
    file = oci_api.file_at(container, "/mnt/data/huge")
    assert file["bytes"] == 1 << 40
    where = f"/containers/{container}/files/{file['id']}/content"
    response = oci_api.send("GET", where, headers={"Range": "bytes=-5"})
    assert response.status_code == 206
    assert response.content == b"tail\n"
    oci_api.call("DELETE", f"/containers/{container}/files/{file['id']}")


def test_deep_folders(container: str, oci_api: Api) -> None:
    code = (
        "import os\nfor _ in range(2000): os.mkdir('d'); os.chdir('d')\n"
        "open('bottom', 'w').close()\nos.chdir('/mnt/data')"
    )
    oci_api.logs(container, code)
    oci_api.upload(container, "top.txt", b"")
    assert "/mnt/data/top.txt" in paths(oci_api, container)


def test_closed_folders(container: str, oci_api: Api) -> None:
    run(oci_api, container, "mkdir closed && echo x > closed/inside && chmod 000 closed/inside closed")
    oci_api.upload(container, "open.txt", b"")
    assert "/mnt/data/open.txt" in paths(oci_api, container)


def test_the_data_folder_itself_cannot_be_replaced(container: str, oci_api: Api) -> None:
    (output,) = oci_api.shell(container, "rmdir /mnt/data; mv /mnt/data /mnt/other; ln -sfn /etc /mnt/data")
    assert output["stderr"]
    file = oci_api.upload(container, "passwd-probe", b"x")
    assert file["path"] == "/mnt/data/passwd-probe"


@pytest.mark.parametrize("wrong", ["../cfile_x", "..%2f..%2fetc%2fpasswd", "%00", "cfile_" + "g" * 32, "x" * 5000])
def test_ids_that_are_paths(wrong: str, box: str, oci_api: Api) -> None:
    response = oci_api.send("GET", f"/containers/{box}/files/{quote(wrong, safe='%')}/content")
    assert response.status_code in (400, 404)
    assert response.json()["error"]["message"]
