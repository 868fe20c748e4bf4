"""The few files of ours that every sandbox sees, read-only: the agent's code and three files of ``/etc``."""

import hashlib
import os
import py_compile
import shutil
from pathlib import Path
from typing import Final

import atoll.guest
from atoll.runtime.oci.spec import GUEST_ROOT

_ETC: Final = {
    "hosts": "127.0.0.1\tlocalhost sandbox\n::1\tlocalhost sandbox\n",
    "hostname": "sandbox\n",
    "resolv.conf": "# Nobody answers there in a sandbox without network access.\nnameserver 127.0.0.1\n",
}


def install_agent(into: Path, package: Path | None = None) -> Path:
    """Copy the agent's package below ``into``; give the folder that holds it as ``guest``.

    The folder is named for its content: sandboxes that run go on importing from the copy they were started with, also
    after an upgrade. Nothing else of the project goes in.
    """
    source = package or Path(atoll.guest.__file__).parent
    files = sorted(path for path in source.rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(source)}\0".encode() + path.read_bytes() + b"\0")
    folder = into / digest.hexdigest()[:24]
    if not folder.exists():
        unfinished = into / f"{folder.name}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        for path in files:
            _install(path, unfinished, Path("guest") / path.relative_to(source))
        _open_to_all(unfinished)
        unfinished.rename(folder)
    return folder


def install_etc(into: Path) -> Path:
    """Write the files of ``/etc``; give their folder."""
    into.mkdir(parents=True, exist_ok=True)
    for name, text in _ETC.items():
        (into / name).write_text(text)
    _open_to_all(into)
    return into


def _install(source: Path, root: Path, name: Path) -> None:
    target = root / name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    # Sandboxes cannot write byte code there themselves. An image with another Python ignores it.
    py_compile.compile(
        str(target),
        dfile=f"{GUEST_ROOT}/atoll/{name}",
        doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _open_to_all(root: Path) -> None:
    for folder, _, names in os.walk(root):
        Path(folder).chmod(0o755)
        for name in names:
            (Path(folder) / name).chmod(0o644)
