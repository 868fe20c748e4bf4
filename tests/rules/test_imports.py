"""The arrows of the architecture hold: who may import whom, and what the guest may need."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "atoll"

VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "base", "manager", "managers", "misc"}
GUEST_MAY_NEED = {"IPython", "matplotlib_inline", "traitlets"}  # traitlets is how IPython is configured
HOST_MAY_IMPORT_OF_GUEST = {"atoll.guest", "atoll.guest.protocol"}  # the package itself only tells where its files are


def test_imports_point_one_way() -> None:
    # In a process of its own: it configures logging for the whole process, and every logger made before falls silent.
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_guest_needs_only_the_standard_library_and_ipython() -> None:
    strangers = {
        f"{path.relative_to(SOURCE)}: {module}"
        for path in (PACKAGE / "guest").rglob("*.py")
        for module in imported_modules(path)
        if module.partition(".")[0] not in sys.stdlib_module_names | GUEST_MAY_NEED
        and not is_within(module, "atoll.guest")
    }
    assert not strangers


def test_only_the_protocol_of_the_guest_is_imported_by_the_host() -> None:
    intruders = {
        f"{path.relative_to(SOURCE)}: {module}"
        for path in PACKAGE.rglob("*.py")
        if not path.is_relative_to(PACKAGE / "guest")
        for module in imported_modules(path)
        if is_within(module, "atoll.guest") and module not in HOST_MAY_IMPORT_OF_GUEST
    }
    assert not intruders


def test_the_keeper_of_plain_sandboxes_needs_only_the_standard_library() -> None:
    modules = set(imported_modules(PACKAGE / "runtime/plain/keeper.py"))
    assert modules <= sys.stdlib_module_names


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = {
        str(path.relative_to(ROOT))
        for folder in (SOURCE, ROOT / "tests", ROOT / "benchmarks")
        for path in folder.rglob("*")
        if path.suffix == ".py" and VAGUE_NAMES & {path.stem, *path.relative_to(ROOT).parts}
    }
    assert not vague


def test_every_module_says_what_it_is_for() -> None:
    silent = {
        str(path.relative_to(ROOT))
        for path in PACKAGE.rglob("*.py")
        if not ast.get_docstring(ast.parse(path.read_text()))
    }
    assert not silent


def imported_modules(path: Path) -> Iterator[str]:
    """Give every module that a file imports, wherever in it; ``from atoll.guest import x`` as ``atoll.guest.x``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            package = SOURCE.joinpath(*node.module.split("."))
            if package.is_dir():
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")
