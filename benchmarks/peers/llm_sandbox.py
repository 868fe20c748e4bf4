"""Opens sessions of llm-sandbox with its bubblewrap back end and runs code in them."""

import itertools
import sys
import threading
from importlib.metadata import version
from typing import Any

from llm_sandbox import SandboxBackend, SandboxSession  # type: ignore[import-not-found] # in the peers' Python only
from llm_sandbox.local.config import DEFAULT_READ_ONLY_PATHS, LocalSandboxConfig  # type: ignore[import-not-found]

from benchmarks.peers.answering import answer

CALL_S_MAX = 60.0
HELD_S = 3600


class Sessions:
    """Sessions by number."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._sessions: dict[int, Any] = {}
        self._held: dict[int, threading.Thread] = {}

    def open(self) -> None:
        """See whether one can be made."""
        number, output = self.start("print(1)")
        self.end(number)
        if output != "1\n":
            raise RuntimeError(f"a first session printed {output[:200]!r}")

    def version(self) -> str:
        """Give the package's."""
        return version("llm-sandbox")

    def start(self, code: str) -> tuple[int, str]:
        """Open a session and run the first code."""
        number = self._open()
        try:
            return number, self.run(number, code)
        except BaseException:
            self.end(number)
            raise

    def hold(self, code: str) -> tuple[int, str]:
        """The same, but the code stays: a session without a running call has no process at all."""
        number = self._open()
        session = self._sessions[number]
        said: list[str] = []
        heard = threading.Event()

        def hear(text: str) -> None:
            said.append(text)
            if text.endswith("\n"):  # the library runs Python unbuffered: a line comes in pieces
                heard.set()

        def run() -> None:
            # Its end by `close` is an error of the library's; there is nobody to be told.
            try:
                session.run(f"{code}\nimport time; time.sleep({HELD_S})", on_stdout=hear)
            except Exception as error:  # noqa: BLE001
                print(f"held session ended: {error}", file=sys.stderr)
            finally:
                heard.set()

        self._held[number] = threading.Thread(target=run, daemon=True)
        self._held[number].start()
        heard.wait(CALL_S_MAX)
        if not said:
            self.end(number)
            raise RuntimeError("a held session printed nothing")
        return number, "".join(said)

    def run(self, number: int, code: str) -> str:
        """Run code in a session; another Python each time."""
        done = self._sessions[number].run(code)
        if done.exit_code != 0:
            raise RuntimeError(f"exit code {done.exit_code}: {done.stderr[-300:]}")
        return str(done.stdout)

    def end(self, number: int, code: str = "") -> None:
        """Close a session; what runs in it is killed."""
        del code
        self._sessions.pop(number).close()
        held = self._held.pop(number, None)
        if held is not None:
            held.join(CALL_S_MAX)

    def close(self) -> None:
        """Close all."""
        for number in list(self._sessions):
            self.end(number)

    def _open(self) -> int:
        session = SandboxSession(
            backend=SandboxBackend.BUBBLEWRAP,
            lang="python",
            skip_environment_setup=True,
            sandbox_config=LocalSandboxConfig(
                python_executable=sys.executable, read_only_paths=(*DEFAULT_READ_ONLY_PATHS, *own_paths())
            ),
        )
        session.open()
        number = next(self._numbers)
        self._sessions[number] = session
        return number


def own_paths() -> list[str]:
    """Give the folders of this Python that the library does not show anyway."""
    return [
        path
        for path in dict.fromkeys((sys.prefix, sys.base_prefix))
        if not path.startswith(("/usr/", "/lib/")) and path != "/usr"
    ]


def main() -> None:
    """Answer until there are no more requests, then close everything."""
    sessions = Sessions()
    try:
        answer(
            {
                "open": sessions.open,
                "version": sessions.version,
                "start": sessions.start,
                "hold": sessions.hold,
                "run": sessions.run,
                "end": sessions.end,
            }
        )
    finally:
        sessions.close()


if __name__ == "__main__":
    main()
