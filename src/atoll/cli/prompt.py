"""A Python prompt in a container: lines with a history, output as it comes, Ctrl-C for what runs."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
from prompt_toolkit import PromptSession
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from atoll.cli.connection import Connection, NotNowError
from atoll.cli.failure import Failure
from atoll.cli.python_call import show, stream_call
from atoll.cli.python_source import indent_after, is_whole
from atoll.cli.signal_handling import handling
from atoll.cli.terminal import harmless
from atoll.settings import client_state_dir

_LEAVING: Final = {"exit", "exit()", "quit", "quit()"}
_HISTORY_BYTES_MAX: Final = 1024 * 1024


def prompt(connection: Connection, container_id: str, *, timeout_ms: int | None, images: Path) -> None:
    """Read code and run it until Ctrl-D. What fails is told, and the prompt comes back."""
    sys.stderr.write(f"Python in {container_id}. Ctrl-C interrupts, Ctrl-D leaves.\n")
    session: PromptSession[str] = PromptSession(
        ">>> ",
        multiline=True,
        prompt_continuation="... ",
        history=_history(client_state_dir()),
        key_bindings=_keys(),
        enable_open_in_editor=True,
    )
    while True:
        try:
            source = session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if source.strip() in _LEAVING:
            return
        if source.strip():
            run_typed(connection, container_id, source, timeout_ms, images)


def run_typed(connection: Connection, container_id: str, source: str, timeout_ms: int | None, images: Path) -> None:
    """Run what was typed and show what it says. Whatever fails is told, and no error here."""
    path = f"/containers/{container_id}"
    body = {"code": source, "timeout_ms": timeout_ms}
    try:
        with _interrupting(connection, f"{path}/interrupt"):
            item = show(stream_call(connection, f"{path}/code_interpreter_calls", body), images)
    except Failure:
        return  # it has said so
    except KeyboardInterrupt:
        sys.stderr.write("\n[hung up; the server ends the call]\n")
        return
    except NotNowError as error:
        sys.stderr.write(f"atoll: {harmless(str(error))}\n")
        return
    except UnicodeEncodeError:
        sys.stderr.write("atoll: What was typed is no UTF-8 text.\n")
        return
    except httpx.HTTPError as error:
        sys.stderr.write(f"atoll: The connection broke: {harmless(str(error)) or type(error).__name__}.\n")
        return
    if item["status"] != "completed":
        sys.stderr.write(f"[the call is {item['status']}]\n")


@contextmanager
def _interrupting(connection: Connection, path: str) -> Iterator[None]:
    """Let Ctrl-C interrupt the call, whose last words are still shown; a second one hangs up."""
    is_asked = threading.Event()

    def ask() -> None:
        with suppress(httpx.HTTPError, NotNowError, Failure):
            connection.post(path)

    def on_interrupt(*_: object) -> None:
        if is_asked.is_set():
            raise KeyboardInterrupt
        is_asked.set()
        threading.Thread(target=ask, daemon=True).start()

    with handling((signal.SIGINT,), on_interrupt):
        yield


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.document.text
        if buffer.document.is_cursor_at_the_end and not is_whole(text):
            buffer.insert_text("\n" + indent_after(text))
        elif not buffer.document.is_cursor_at_the_end and "\n" in text and not is_whole(text + "\n"):
            buffer.insert_text("\n" + indent_after(buffer.document.text_before_cursor))
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n" + indent_after(event.current_buffer.document.text_before_cursor))

    @keys.add("tab", filter=Condition(_is_in_blanks))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("    ")

    return keys


def _is_in_blanks() -> bool:
    from prompt_toolkit.application import get_app  # noqa: PLC0415 - the one that runs

    return not get_app().current_buffer.document.current_line_before_cursor.strip()


def _history(folder: Path | None) -> History:
    """Give the lines of earlier prompts, where they can be kept; they are nobody else's to read."""
    if folder is None:
        return InMemoryHistory()
    path = folder / "python-history"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        if path.stat().st_size > _HISTORY_BYTES_MAX:
            path.replace(path.with_suffix(".old"))
            path.touch(mode=0o600)
        path.open("ab").close()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))
