"""Signing in, and containers as a list: created with every option, found, paged through, deleted."""

import json
import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.console.conftest import OpenConsole
from tests.harness.poll import wait_until
from tests.harness.server import AtollServer


@pytest.fixture(scope="module")
def own_key(oci_server: AtollServer) -> str:
    """Give a key to a project that nobody else's containers are in."""
    return str(
        json.loads(oci_server.atoll("keys", "create", "--name", "list", "--project", "list", "--json"))["secret"]
    )


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")


def test_a_key_is_asked_for_and_kept_only_as_long_as_wanted(
    open_console: OpenConsole, oci_server: AtollServer, own_key: str
) -> None:
    page = open_console(oci_server, signed_in=False)
    sign_in(page, "sk-wrong")
    expect(page.get_by_role("alert")).to_contain_text("This key opens nothing here.")
    sign_in(page, own_key)
    expect(page.get_by_role("heading", name="No containers yet")).to_be_visible()
    assert page.evaluate("[sessionStorage['atoll.key'], localStorage['atoll.key']]") == [own_key, None]
    page.reload()
    expect(page.get_by_role("heading", name="No containers yet")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Keep it").check()
    sign_in(page, own_key)
    expect(page.get_by_role("heading", name="Containers", exact=True)).to_be_visible()
    assert page.evaluate("[sessionStorage['atoll.key'], localStorage['atoll.key']]") == [None, own_key]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Key")).to_be_visible()
    assert page.evaluate("[sessionStorage.length, localStorage['atoll.key']]") == [0, None]


def test_a_container_is_created_with_every_option(open_console: OpenConsole, network_server: AtollServer) -> None:
    api = network_server.api()
    page = open_console(network_server)
    page.get_by_role("button", name="New container").click()
    dialog = page.get_by_role("dialog", name="New container")
    dialog.get_by_role("button", name="Create container").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Give it a name")
    dialog.get_by_label("Name", exact=True).fill("everything")
    dialog.get_by_label("4 GB", exact=True).check()
    dialog.get_by_label("Expires after").fill("99999999")
    dialog.get_by_label("Only these domains").check()
    dialog.get_by_label("Allowed domains").fill("a.example.test\n*.b.example.test")
    dialog.get_by_role("button", name="Add a secret").click()
    dialog.get_by_label("Domain of secret 1").fill("a.example.test")
    dialog.get_by_label("Name of secret 1").fill("TOKEN")
    dialog.get_by_label("Value of secret 1").fill("hush hush")
    coming: list[Route] = []

    def hold(route: Route) -> None:
        coming.append(route)

    page.route("**/v1/files", hold)
    dialog.get_by_label("Add files to this project").set_input_files(
        {"name": "sales.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"}
    )
    expect(dialog.get_by_role("button", name="Uploading…")).to_be_disabled()
    dialog.get_by_label("Name", exact=True).press("Enter")  # nor is it made so before the file is there
    wait_until(lambda: page.evaluate("true") and coming, what="the upload")
    coming[0].continue_()
    expect(dialog.get_by_role("checkbox", name=re.compile("sales.csv"))).to_be_checked()
    dialog.get_by_role("button", name="Create container").click()
    expect(dialog.get_by_role("alert")).to_contain_text("expires_after.minutes")
    dialog.get_by_label("Expires after").fill("7")
    dialog.get_by_role("button", name="Create container").click()
    expect(page.get_by_role("heading", name="everything")).to_be_visible()
    container_id = page.url.split("/")[-2]
    made = api.retrieve(container_id)
    assert (made["name"], made["memory_limit"], made["expires_after"]["minutes"]) == ("everything", "4g", 7)
    assert made["network_policy"]["allowed_domains"] == ["a.example.test", "*.b.example.test"]
    assert [file["path"] for file in api.files(container_id)] == ["/mnt/data/sales.csv"]
    assert api.logs(container_id, "import os; os.environ['TOKEN']") == "'$TOKEN'\n"
    page.get_by_role("button", name="Code for what was just done").click()
    lines = page.get_by_role("dialog").inner_text()
    assert f"{network_server.base_url}/containers" in lines
    assert "hush" not in lines
    assert network_server.api_key not in lines
    api.delete(container_id)


def test_a_list_is_live_filtered_and_paged(open_console: OpenConsole, oci_server: AtollServer, own_key: str) -> None:
    api = oci_server.api(own_key)
    ids = [api.create(f"box {number}")["id"] for number in range(3)]
    page = open_console(oci_server, signed_in=False)
    page.route(
        re.compile("/v1/containers.limit=20"),
        lambda route: route.continue_(url=route.request.url.replace("limit=20", "limit=2")),
    )
    page.clock.install()
    sign_in(page, own_key)
    rows = page.get_by_role("row").filter(has=page.get_by_role("link"))
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("box 2")
    expect(rows.first).to_contain_text("running")
    expect(rows.first).to_contain_text("in 20 min")
    page.keyboard.press("]")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("box 0")
    page.keyboard.press("[")
    expect(rows).to_have_count(2)
    page.keyboard.press("/")
    page.keyboard.type("X 0")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("box 0")  # on whichever page it is
    page.get_by_label("Filter by name").fill("BOX")
    expect(rows).to_have_count(3)
    page.get_by_role("radio", name="Expired").check()
    expect(page.get_by_text("No container is like this.")).to_be_visible()
    page.get_by_role("radio", name="All").check()
    page.get_by_label("Filter by name").fill("")
    expect(rows).to_have_count(2)
    api.delete(ids[2])
    page.clock.fast_forward(6000)
    expect(rows.first).to_contain_text("box 1")
    rows.first.get_by_role("button", name="Delete box 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete container").click()
    expect(rows.first).to_contain_text("box 0")
    assert [one["name"] for one in api.containers()] == ["box 0"]
    # Pieces of a page that the server has had before an upgrade.
    page.route("**/console/part-*", lambda route: route.fulfill(status=404))
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("alert")).to_contain_text("This page is older than the server")
    api.delete(ids[0])
