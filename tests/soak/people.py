"""Who uses the server meanwhile: several threads that ask for anything, in any order, whatever becomes of the server.

An answer is written down as soon as it is there. Who got none knows nothing: what was asked for may have been done.
"""

import hashlib
import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

from tests.harness.api import Api, logs_of
from tests.harness.server import AtollServer
from tests.soak.ledger import ALIVE_MAX, Kept, Ledger, ProjectFile

CALL_MS: Final = 8_000
_PAUSE_S: Final = 0.1
_FILES_MAX: Final = 12
_FILES_DEPTH: Final = 3  # slashes in the path of all files of a container; one file's is deeper, and may be gone
_SIZES: Final = (0, 10, 10_000, 300_000, 2_000_000)
_IDS: Final = re.compile(r"cntr_[0-9a-f]+")
_SELF_HARM: Final = (
    "import os; os._exit(3)",
    "import os; os.kill(os.getpid(), 9)",
    "x = bytearray(b'x') * (1200 << 20)\ndel x",
    "import subprocess\nfor _ in range(400): subprocess.Popen(['sleep', '100'])",
    "while True: pass",
    "print('x' * (12 << 20))",
)


class NoAnswerError(Exception):
    """The server went away, is full, or could not do it now; nothing is known."""


class NothingToDoError(Exception):
    """There is nothing yet that this could be done with."""


class Person:
    """One thread's work; ``seed`` makes its choices the same again."""

    def __init__(self, server: AtollServer, ledger: Ledger, seed: str, ended: threading.Event) -> None:
        self._server = server
        self._ledger = ledger
        self._chance = random.Random(seed)  # noqa: S311 - meant to be the same in every run
        self._ended = ended
        self._deeds: dict[Callable[[], None], int] = {
            self._create: 14,
            self._python: 20,
            self._shell: 14,
            self._upload: 14,
            self._download: 12,
            self._list: 4,
            self._retrieve: 6,
            self._remove: 6,
            self._remove_file: 4,
            self._leave_alone: 2,
            self._hang_up: 3,
            self._interrupt: 2,
            self._restart: 2,
            self._harm: 4,
            self._keep_project_file: 3,
        }

    def run(self) -> None:
        """Do one thing after the other until told to end."""
        with Api(self._server.base_url, self._server.api_key) as self._api:
            while not self._ended.is_set():
                deed = self._chance.choices(list(self._deeds), list(self._deeds.values()))[0]
                name = deed.__name__.strip("_")
                try:
                    deed()
                except NothingToDoError:
                    self._ended.wait(_PAUSE_S)
                except NoAnswerError as error:
                    self._ledger.count(f"{name}: {error}")
                    self._ended.wait(_PAUSE_S)
                else:
                    self._ledger.count(name)

    def _ask(self, method: str, path: str, container: Kept | None = None, **options: Any) -> httpx.Response:
        """Send a request; anything but 200 raises ``NoAnswerError``, and is a violation where it cannot be right."""
        try:
            response = self._api.send(method, path, **options)
        except httpx.TimeoutException as error:
            self._ledger.blame(f"{method} {path} was not answered: {error!r}")
            raise NoAnswerError("late") from error
        except httpx.TransportError as error:
            raise NoAnswerError("away") from error
        finally:
            if container is not None:
                container.touched_at = time.monotonic()
        if response.status_code != 200:
            self._judge(method, path, response, container)
            raise NoAnswerError(str(response.status_code))
        return response

    def _judge(self, method: str, path: str, response: httpx.Response, container: Kept | None) -> None:
        error = response.json()["error"]
        status, code, message = response.status_code, error["code"], error["message"]
        is_expired = status == 400 and message == "Container is expired."
        plausible = (
            status in {429, 503}
            or (status == 500 and code == "sandbox_failed")
            or (status == 404 and container is not None and (container.is_doomed or path.count("/") > _FILES_DEPTH))
            or (status == 400 and code == "storage_full")
            or (is_expired and container is not None and container.may_be_expired)
        )
        if status == 429 and "retry-after" not in response.headers:
            self._ledger.blame(f"{method} {path}: 429 without Retry-After")
        if not plausible:
            self._ledger.blame(f"{method} {path}: {status} {response.text[:300]}")
        if is_expired and container is not None:
            container.is_left_alone = True

    def _someone(self) -> Kept:
        container = self._ledger.pick(self._chance)
        if container is None:
            raise NothingToDoError
        return container

    def _used(self, container: Kept) -> None:
        container.used_at = time.monotonic()

    def _create(self) -> None:
        if self._ledger.alive() >= ALIVE_MAX:
            self._remove()
            return
        minutes = self._chance.choice([1, 1, 60, 600])
        body: dict[str, Any] = {
            "name": f"soak {self._ledger.number()}",
            "memory_limit": self._chance.choice(["1g", "1g", "1g", "4g"]),
            "expires_after": {"anchor": "last_active_at", "minutes": minutes},
        }
        brought = self._ledger.pick_project_file(self._chance) if self._chance.random() < 0.3 else None
        if brought is not None:
            body["file_ids"] = [brought.id]
        answer = self._ask("POST", "/containers", json=body).json()
        self._ledger.made(Kept(answer["id"], minutes, {} if brought is None else {brought.name: brought.digest}))

    def _python(self) -> None:
        container = self._someone()
        token = f"{container.id} {self._ledger.number()}"
        code = f"print({token!r})"
        name = None
        if self._chance.random() < 0.4 and len(container.files) < _FILES_MAX:
            name = f"code-{self._ledger.number()}.txt"
            code = f"with open('/mnt/data/{name}', 'w') as file: print({token!r}, file=file, end='')\n{code}"
            container.unsure.add(name)
        path = f"/containers/{container.id}/code_interpreter_calls"
        call = self._ask("POST", path, container, json={"code": code, "timeout_ms": CALL_MS}).json()
        written = logs_of(call)
        self._check_output(container, token, written, must_be_whole=call["status"] == "completed")
        if call["status"] == "completed" and name is not None:
            told = [file["path"] for file in call["files"] if file["source"] == "assistant"]
            # The call of a container that is deleted meanwhile names none: their rows went with it.
            if f"/mnt/data/{name}" not in told and not container.is_doomed:
                self._ledger.blame(f"{name}, which code made in {container.id}, is not among the call's files")
            self._keep(container, name, token.encode())

    def _shell(self) -> None:
        container = self._someone()
        token = f"{container.id} {self._ledger.number()}"
        commands = [f"echo {token}", "sleep 100 & cat /mnt/data/* | wc -c"]
        path = f"/containers/{container.id}/shell_calls"
        call = self._ask("POST", path, container, json={"commands": commands, "timeout_ms": CALL_MS}).json()
        first = call["output"][0]
        is_whole = first["outcome"] == {"type": "exit", "exit_code": 0}
        self._check_output(container, token, first["stdout"], must_be_whole=is_whole)

    def _check_output(self, container: Kept, token: str, written: str, *, must_be_whole: bool) -> None:
        self._used(container)
        if must_be_whole and token not in written:
            self._ledger.blame(f"a call of {container.id} completed without its output: {written[:500]!r}")
        strangers = set(_IDS.findall(written)) - {container.id}
        if strangers:
            self._ledger.blame(f"{container.id} wrote of {strangers}")

    def _upload(self) -> None:
        container = self._someone()
        if len(container.files) >= _FILES_MAX:
            raise NothingToDoError
        name = f"up-{self._ledger.number()}.bin"
        content = self._chance.randbytes(self._chance.choice(_SIZES))
        container.unsure.add(name)
        self._ask("POST", f"/containers/{container.id}/files", container, files={"file": (name, content)})
        self._keep(container, name, content)
        self._used(container)

    def _keep(self, container: Kept, name: str, content: bytes) -> None:
        with self._ledger.lock:
            container.files[name] = hashlib.sha256(content).hexdigest()
            container.unsure.discard(name)

    def _download(self) -> None:
        container = self._someone()
        with self._ledger.lock:
            names = sorted(container.files)
        if not names:
            raise NothingToDoError
        name = self._chance.choice(names)
        path = f"/containers/{container.id}/files"
        page = self._ask("GET", path, container, params={"limit": 100}).json()
        found = [file["id"] for file in page["data"] if file["path"] == f"/mnt/data/{name}"]
        with self._ledger.lock:
            digest = container.files.get(name)
        if not found:
            if digest is not None and not container.is_doomed and not page["has_more"]:
                self._ledger.blame(f"{container.id} does not list {name}")
            raise NothingToDoError
        content = self._ask("GET", f"{path}/{found[0]}/content", container).content
        self._used(container)
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            self._ledger.blame(f"{container.id}: {name} has changed, {len(content)} bytes")

    def _list(self) -> None:
        order = self._chance.choice(["asc", "desc"])
        query: dict[str, Any] = {"limit": self._chance.choice([1, 7, 100]), "order": order}
        ids: list[str] = []
        while True:
            page = self._ask("GET", "/containers", params=query).json()
            for item in page["data"]:
                self._ledger.told_active(item["id"], item["last_active_at"])
            ids += [item["id"] for item in page["data"]]
            if not page["has_more"]:
                break
            query["after"] = page["last_id"]
        if ids != sorted(ids, reverse=order == "desc") or len(ids) != len(set(ids)):
            self._ledger.blame(f"a list is out of order: {ids}")

    def _retrieve(self) -> None:
        container = self._someone()
        item = self._ask("GET", f"/containers/{container.id}", container).json()
        if item["status"] == "running":
            self._used(container)
            self._ledger.told_active(container.id, item["last_active_at"])
        elif not container.may_be_expired:
            self._ledger.blame(f"{container.id} is {item['status']} already")

    def _remove(self) -> None:
        container = self._someone()
        container.is_doomed = True
        self._ask("DELETE", f"/containers/{container.id}", container)
        container.is_gone = True

    def _remove_file(self) -> None:
        container = self._someone()
        with self._ledger.lock:
            names = sorted(container.files)
            if not names:
                raise NothingToDoError
            name = self._chance.choice(names)
            del container.files[name]
            container.unsure.add(name)
        path = f"/containers/{container.id}/files"
        for file in self._ask("GET", path, container, params={"limit": 100}).json()["data"]:
            if file["path"] == f"/mnt/data/{name}":
                self._ask("DELETE", f"{path}/{file['id']}", container)

    def _leave_alone(self) -> None:
        container = self._someone()
        container.is_left_alone = container.minutes == 1

    def _hang_up(self) -> None:
        """Start a call that would never end, and go away in its middle."""
        container = self._someone()
        body = {"code": "print('on', flush=True)\nwhile True: pass", "timeout_ms": CALL_MS}
        try:
            with self._api.streamed(f"/containers/{container.id}/code_interpreter_calls", body) as events:
                next((event for event in events if event.name.endswith("_logs.delta")), None)
        except (httpx.TransportError, AssertionError) as error:
            raise NoAnswerError("away") from error

    def _interrupt(self) -> None:
        container = self._someone()
        self._ask("POST", f"/containers/{container.id}/interrupt", container)

    def _restart(self) -> None:
        container = self._someone()
        self._ask("POST", f"/containers/{container.id}/restart", container)

    def _harm(self) -> None:
        """Run code that goes against a limit or its own process; the container must go on."""
        container = self._someone()
        body = {"code": self._chance.choice(_SELF_HARM), "timeout_ms": CALL_MS // 4}
        self._ask("POST", f"/containers/{container.id}/code_interpreter_calls", container, json=body)
        self._used(container)

    def _keep_project_file(self) -> None:
        content = self._chance.randbytes(self._chance.choice(_SIZES))
        form = {"purpose": "user_data"}
        name = f"soak-{self._ledger.number()}.bin"
        answer = self._ask("POST", "/files", data=form, files={"file": (name, content)}).json()
        with self._ledger.lock:
            self._ledger.project_files.append(ProjectFile(answer["id"], name, hashlib.sha256(content).hexdigest()))
