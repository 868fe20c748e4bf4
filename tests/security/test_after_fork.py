"""What a forked Python can do, and what it cannot reach: the rest of the zygote's family."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.oci_fixtures import OciMachine
from tests.security.conftest import SPEC, Cell

# The search reads a whole process into itself.
ROOMY = replace(SPEC, memory_bytes=1 << 30)

WORK = {
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor as E\nprint(sum(E(4).map(lambda n: n * n, range(10))))"
    ),
    "blas": "import numpy as np\na = np.ones((600, 600))\nprint(int((a @ a).sum()) == 600**3)",
    "blas in threads": (
        "import numpy as np\nfrom concurrent.futures import ThreadPoolExecutor as E\n"
        "print(all(E(4).map(lambda n: (np.eye(300) @ np.eye(300)).trace() == 300, range(8))))"
    ),
    "linear algebra": "import numpy as np\nprint(round(float(np.linalg.svd(np.eye(200))[1].sum())))",
    "multiprocessing fork": (
        "import multiprocessing as m\nwith m.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, -2]))"
    ),
    "multiprocessing spawn": (
        "import multiprocessing as m\nwith m.get_context('spawn').Pool(1) as p: print(p.map(abs, [-1, -2]))"
    ),
    "asyncio": "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 7\nprint(await f())",
    "asyncio process": (
        "import asyncio\np = await asyncio.create_subprocess_exec('echo', 'hi', stdout=-1)\n"
        "print((await p.communicate())[0])"
    ),
    "subprocess": "import subprocess\nprint(subprocess.run(['id', '-u'], capture_output=True, text=True).stdout)",
    "sklearn": (
        "from sklearn.linear_model import LinearRegression as L\nimport numpy as np\n"
        "x = np.arange(10).reshape(-1, 1)\nprint(round(float(L().fit(x, x.ravel() * 2).coef_[0])))"
    ),
    "pandas": "import pandas as pd\nprint(int(pd.DataFrame({'a': [1, 2]}).groupby('a').size().sum()))",
    "tempfile": "import tempfile\nwith tempfile.TemporaryDirectory() as d: print(d.startswith('/tmp'))",
    "deep recursion": "def f(n): return n and f(n - 1)\nprint(f(900))",
}
ANSWERS = {
    "threads": "285",
    "blas": "True",
    "blas in threads": "True",
    "linear algebra": "200",
    "multiprocessing fork": "[1, 2]",
    "multiprocessing spawn": "[1, 2]",
    "asyncio": "7",
    "asyncio process": "b'hi\\n'",
    "subprocess": "1000",
    "sklearn": "2",
    "pandas": "2",
    "tempfile": "True",
    "deep recursion": "0",
}

# The needle is never whole in the memory of the one who searches.
SEARCH = """
import hashlib, os
def _search(half, digest):
    found = 0
    memory = os.open("/proc/self/mem", os.O_RDONLY)
    for line in open("/proc/self/maps"):
        if line.split()[1][0] != "r" or "[v" in line:
            continue
        start, end = (int(word, 16) for word in line.split()[0].split("-"))
        try:
            data = os.pread(memory, end - start, start)
        except OSError:
            continue
        at = data.find(half)
        while at >= 0:
            found += hashlib.sha256(data[at + len(half):at + len(half) + 16]).hexdigest() == digest
            at = data.find(half, at + 1)
    return found
"""


@pytest.fixture(scope="module")
def forked(forking_machine: OciMachine) -> Iterator[Cell]:
    cell = Cell(forking_machine, ROOMY)
    assert cell.kind == "forked"
    yield cell
    cell.close()


@pytest.mark.parametrize("name", WORK)
def test_it_works(forked: Cell, name: str) -> None:
    assert forked.call(WORK[name]).strip() == ANSWERS[name]


def test_plots_are_shown(forked: Cell) -> None:
    assert forked.images("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()") == 1
    assert forked.images("plt.plot([3, 2, 1]);") == 1


def test_no_memory_of_another_sandbox_is_in_a_fork(forking_machine: OciMachine) -> None:
    half, rest = b"needle-half-", b"0123456789abcdef"
    digest = hashlib.sha256(rest).hexdigest()
    one, other = Cell(forking_machine, ROOMY), None
    try:
        one.call(f"kept = {(half + rest).decode()!r}; print(1)")
        other = Cell(forking_machine, ROOMY)
        assert one.call(f"{SEARCH}\nprint(_search({half!r}, {digest!r}) > 0)").strip() == "True", "the search finds"
        assert other.call(f"{SEARCH}\nprint(_search({half!r}, {digest!r}))").strip() == "0"
    finally:
        for cell in (one, other):
            if cell is not None:
                cell.close()


def test_no_path_and_no_name_of_the_host_is_in_a_fork(forked: Cell) -> None:
    """Memory of the supervisor, and of the zygote's start, would hold where its folders are."""
    home = str(forked.machine.home)
    half, rest = home[:-16].encode(), home[-16:].encode()
    digest = hashlib.sha256(rest).hexdigest()
    assert forked.call(f"{SEARCH}\nprint(_search({half!r}, {digest!r}))").strip() == "0"


def test_no_descriptor_but_its_own_is_open(forked: Cell) -> None:
    forked.restart()
    code = (
        "import json, os\nseen = []\nfor n in range(1024):\n"
        "    try: seen.append(os.readlink(f'/proc/self/fd/{n}').split(':')[0])\n"
        "    except OSError: pass\nprint(json.dumps(seen))"
    )
    # No input; output twice; the acknowledgements and the control socket.
    assert sorted(json.loads(forked.call(code))) == ["/dev/null", "pipe", "pipe", "pipe", "socket"]


def test_the_zygotes_environment_is_empty_of_the_host(forked: Cell) -> None:
    code = (
        "import json\nlines = open('/proc/self/environ').read().split(chr(0))\n"
        "print(json.dumps(sorted(line.split('=')[0] for line in lines if line)))"
    )
    assert json.loads(forked.call(code)) == ["HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE"]
