"""The README's and the guides' Python, run as it stands against a real server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.server import PROJECT_DIR, AtollServer

PAGES = ("README.md", "docs/guides/first-container.md", "docs/guides/files.md")
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRELUDE = """
from openai import OpenAI
client = OpenAI(base_url="http://127.0.0.1:8484/v1", api_key="sk-atoll-…")
container = client.containers.create(name="guide")
"""


@pytest.mark.parametrize("page", PAGES)
def test_python_on_a_page_runs(page: str, oci_server: AtollServer, tmp_path: Path) -> None:
    blocks = _BLOCK.findall((PROJECT_DIR / page).read_text(encoding="utf-8"))
    assert blocks
    program = "\n".join(blocks)
    if "OpenAI(" not in program:
        program = _PRELUDE + program
    program = program.replace("http://127.0.0.1:8484/v1", oci_server.base_url).replace("sk-atoll-…", oci_server.api_key)
    for name in ("sales.csv", "report.xlsx", "big.parquet"):
        (tmp_path / name).write_text("month,sold\nJan,3\nFeb,5\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*PROJECT_DIR.glob("*.md"), *(PROJECT_DIR / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(PROJECT_DIR)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]
    assert broken == []


def test_every_error_code_is_in_the_reference() -> None:
    page = (PROJECT_DIR / "docs/reference/errors.md").read_text(encoding="utf-8")
    source = "\n".join(
        path.read_text(encoding="utf-8")
        for folder in ("api", "service")
        for path in (PROJECT_DIR / "src/atoll" / folder).rglob("*.py")
    )
    codes = set(re.findall(r'\bcode="([a-z_]+)"', source))
    assert len(codes) > 15
    assert {code for code in codes if f"`{code}`" not in page} == set()
