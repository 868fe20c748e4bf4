"""A Python environment of the peers' own: what they need never becomes a dependency of the project."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.contenders.contender import NotHereError

REQUIREMENTS = Path(__file__).parents[1] / "peers/requirements.txt"
INSTALL_S_MAX = 900.0


class PeersEnvironment:
    """A virtual environment in a folder, made from pinned versions when it is not there or is another's."""

    def __init__(self, folder: Path, requirements: Path = REQUIREMENTS) -> None:
        self.folder = folder.absolute()
        self._requirements = requirements
        self._mark = self.folder / "made-from"
        self._refusal: str | None = None

    @property
    def python(self) -> Path:
        """Its Python, by the path that makes it this environment's."""
        return self.folder / "bin/python"

    def make(self) -> None:
        """Install what is pinned; at once when it is there. Raises ``NotHereError``, again at every further try."""
        if self._refusal is not None:
            raise NotHereError(self._refusal)
        wanted = hashlib.sha256(self._requirements.read_bytes() + sys.version.encode()).hexdigest()
        if self._mark.exists() and self._mark.read_text(encoding="ascii") == wanted:
            return
        print(f"installing the peers' packages into {self.folder} ...", flush=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self._run(sys.executable, "-m", "venv", str(self.folder))
            self._run(
                *(str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
                *("--only-binary", ":all:", "--requirement", str(self._requirements)),
            )
            # Made by root, but in somebody's clone: it is theirs, as what it was made from.
            self._run("chown", "--recursive", f"--reference={self._requirements}", str(self.folder))
        except NotHereError as error:
            self._refusal = str(error)
            raise
        self._mark.write_text(wanted, encoding="ascii")

    def _run(self, *command: str) -> None:
        try:
            subprocess.run(
                command,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=INSTALL_S_MAX,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotHereError(f"its packages cannot be installed: {error}") from error
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip().splitlines()
            raise NotHereError(f"its packages cannot be installed: {said[-1] if said else error}") from error
