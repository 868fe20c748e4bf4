"""The Python that people's code runs in: one IPython shell that lives from call to call.

Runs as a program of its own, as people's user, and imports nothing of Atoll. Text goes to descriptors 1 and 2, which
are one pipe. Images and the end of a call go over ``control`` in frames of the guest protocol's form; after an image
the shell waits for one byte on ``acknowledge``, so that text before and after it keeps its place.

Frames in: 1 JSON ``{"code": str, "environment"?: {NAME: VALUE}, "html"?: true}``, or ``{"warm": [MODULE...]}`` before
the first of these.
Frames out: 19 ``{"event": "ready"}`` once, 18 image, 20 ``{"ok": bool}``.
"""

import sys

# The folder of this file must not be importable: people's names are their own.
if __name__ == "__main__":
    del sys.path[0]

import base64
import binascii
import builtins
import contextlib
import ctypes
import faulthandler
import fcntl
import functools
import getpass
import importlib
import importlib.util
import io
import json
import os
import signal
import struct
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TextIO

from IPython.core.autocall import ExitAutocall
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type, observe
from traitlets.config import Config

_RUN, _IMAGE, _EVENT, _RESULT = 1, 18, 19, 20
_IMAGE_BYTES_MAX = 16 * 1024 * 1024 - 64
_HEADER = struct.Struct(">BI")
_HTML = "text/html"
_EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}
_SHOWN_TYPES = ("text/plain", "text/markdown", "text/latex", *_EXTENSIONS)
_FIGURES_MAX = 100_000

# Out of the way of code that closes or counts low descriptors.
_LOWEST_DESCRIPTOR = 100

# Spawning and forking: text that still waits in this process must be out before theirs, and not be doubled.
_PROCESS_EVENTS = frozenset(
    {"subprocess.Popen", "os.system", "os.posix_spawn", "os.exec", "os.fork", "os.forkpty", "pty.spawn"}
)

# From the third time on code is specialised, and memory is written to no more.
_REHEARSALS = 3

_NO_INPUT = "{0} cannot be answered: nobody is at a container's keyboard. Put the value into the code or into a file."


class Channel:
    """The connection to the agent; closed in every child that this process forks."""

    def __init__(self, control: int, acknowledge: int) -> None:
        self._control = fcntl.fcntl(control, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)
        self._acknowledge = fcntl.fcntl(acknowledge, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)
        os.close(control)
        os.close(acknowledge)
        self._lock = threading.Lock()
        self.owner = os.getpid()
        os.register_at_fork(after_in_child=self._close)

    def receive(self) -> dict[str, Any] | None:
        """Wait for the next request; ``None`` when the agent is gone."""
        header = self._read(_HEADER.size)
        if header is None:
            return None
        _kind, length = _HEADER.unpack(header)
        payload = self._read(length)
        if payload is None:
            return None
        request: dict[str, Any] = json.loads(payload)
        return request

    def send(self, kind: int, value: dict[str, Any]) -> None:
        """Send a JSON frame."""
        with self._lock:
            self._write(kind, json.dumps(value).encode())

    def send_image(self, media_type: str, data: bytes) -> bool:
        """Send an image and wait until the agent has put it in its place; ``False`` in a forked child."""
        if os.getpid() != self.owner:
            return False
        # Interrupted in the middle, the frames would be out of step for good; the agent always answers.
        previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with self._lock:
                flush()
                self._write(_IMAGE, media_type.encode() + b"\0" + data)
                os.read(self._acknowledge, 1)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous)
        return True

    def _write(self, kind: int, payload: bytes) -> None:
        data = memoryview(_HEADER.pack(kind, len(payload)) + payload)
        while data:
            data = data[os.write(self._control, data) :]

    def _read(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            piece = os.read(self._control, count - len(data))
            if not piece:
                return None
            data += piece
        return bytes(data)

    def _close(self) -> None:
        for fd in (self._control, self._acknowledge):
            with contextlib.suppress(OSError):
                os.close(fd)


class _Stderr(io.TextIOWrapper):
    """Stderr that keeps its place between pieces of stdout: it never holds text and never overtakes."""

    def write(self, text: str) -> int:
        with contextlib.suppress(ValueError, OSError, AttributeError):
            _stdout().flush()
        count = super().write(text)
        self.flush()
        return count


def flush() -> None:
    """Send on what is still in this process's buffers."""
    for stream in (sys.stdout, sys.stderr, _stdout()):
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(Exception):
        _fflush()(None)


def serve(control: int, acknowledge: int, data_dir: str) -> None:
    """Answer the agent's requests until it is gone. Also the entry for a process that was forked preloaded."""
    interrupts = _Interrupts()
    channel = Channel(control, acknowledge)
    _replace_streams()
    prepare_plots()
    shell = _Shell.instance() if _Shell.initialized() else _make_shell()
    shell.enter(Pictures(channel, data_dir))
    sys.path.insert(0, "")
    sys.addaudithook(_flush_before_processes)
    channel.send(_EVENT, {"event": "ready"})
    while (request := channel.receive()) is not None:
        os.environ.update(request.get("environment", {}))
        shell.show_html(wanted=request.get("html", False))
        ok = _warm(shell, request["warm"]) if "warm" in request else _run(shell, interrupts, request["code"])
        if os.getpid() != channel.owner:
            flush()
            os._exit(0)  # a fork that ran out of code to run; it must not answer in its parent's name
        interrupts.ignore()  # again: an interrupt may have hit the very line that was to end its effect
        flush()
        channel.send(_RESULT, {"ok": ok})


def rehearse() -> None:
    """Do what first calls do, for the modules that this imports; for a process that ends afterwards."""
    shell = _make_shell()
    shell.enter(Pictures(None, os.devnull))
    with contextlib.redirect_stdout(io.StringIO()):
        for code in ("1 + 1", "1 / 0", "import asyncio"):
            shell.run_cell(code)  # type: ignore[no-untyped-call]


def prepare() -> Callable[[Any], None]:
    """Do all of a start that needs no sandbox: forks find the shell made, and gone through what calls go through.

    Give what goes through the showing of a value.
    """
    import_path = list(sys.path)
    shell = _make_shell()
    for _ in range(_REHEARSALS):
        shell.run_cell("None", store_history=False, silent=True)  # type: ignore[no-untyped-call]
        _format(shell, 1)
    sys.path[:] = import_path
    return lambda value: _format(shell, value)


def _format(shell: "_Shell", value: Any) -> None:
    """Do what showing a cell's value does, but for showing it: it would stay in people's `_`."""
    if shell.display_formatter is not None:
        shell.display_formatter.format(value)  # type: ignore[no-untyped-call]


def _run(shell: "_Shell", interrupts: "_Interrupts", code: str) -> bool:
    try:
        with interrupts.allowed():
            result = shell.run_cell(code, store_history=True)  # type: ignore[no-untyped-call]
        error = result.error_before_exec or result.error_in_exec
        return error is None or (isinstance(error, SystemExit) and error.code in (None, 0))
    except KeyboardInterrupt:
        print("KeyboardInterrupt")
        return False
    except BaseException:  # noqa: BLE001 - nothing that people's code raises may end the loop
        shell.showtraceback()
        return False


def _warm(shell: "_Shell", modules: list[str]) -> bool:
    """Import what people will, and go once through all that a call goes through; leave nothing to be seen."""
    for name in modules:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
    shell.run_cell("None", store_history=False, silent=True)  # type: ignore[no-untyped-call]
    importlib.invalidate_caches()
    return True


class _Interrupts:
    """SIGINT stops code that runs, and means nothing while none does."""

    def __init__(self) -> None:
        self.ignore()

    @contextlib.contextmanager
    def allowed(self) -> Iterator[None]:
        """Let SIGINT raise ``KeyboardInterrupt``, whatever people's code had made of it before."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            self.ignore()

    def ignore(self) -> None:
        """Do nothing at SIGINT; not ``SIG_IGN``, which programs that are started now would inherit."""
        signal.signal(signal.SIGINT, lambda *_: None)


class Pictures:
    """Saves images under free names in the data folder and shows them."""

    def __init__(self, channel: Channel | None, data_dir: str) -> None:
        self._channel = channel
        self._data_dir = data_dir
        self._next: dict[str, int] = {}
        self.html_wanted = False

    def show(self, bundle: dict[str, Any]) -> bool:
        """Show the image of a MIME bundle, or its HTML where that is wanted; ``False`` when there is none to show."""
        for media_type, extension in _EXTENSIONS.items():
            if media_type in bundle:
                data = _image_bytes(bundle[media_type])
                return data is not None and self._show(media_type, extension, data)
        return self.html_wanted and self._show_html(bundle.get(_HTML))

    def _show_html(self, html: object) -> bool:
        """Show HTML; what is too large for a frame is shown as the text that it also is."""
        data = html.encode(errors="replace") if isinstance(html, str) else b""
        if not data or len(data) > _IMAGE_BYTES_MAX:
            return False
        return self._channel is not None and self._channel.send_image(_HTML, data)

    def _show(self, media_type: str, extension: str, data: bytes) -> bool:
        name = self._save(extension, data)
        if len(data) > _IMAGE_BYTES_MAX:
            where = f"; it is in the file {name}" if name else ""
            print(f"[atoll] An image of {len(data)} bytes is too large to be shown{where}.")
            return True
        return self._channel is not None and self._channel.send_image(media_type, data)

    def _save(self, extension: str, data: bytes) -> str | None:
        for number in range(self._next.get(extension, 1), _FIGURES_MAX):
            name = f"figure-{number}.{extension}"
            path = Path(self._data_dir, name)
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            except FileExistsError:
                continue
            except OSError:
                return None
            self._next[extension] = number + 1
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
            except OSError as error:
                with contextlib.suppress(OSError):
                    path.unlink()
                print(f"[atoll] The image could not be saved as {name}: {error.strerror}.")
                return None
            return name
        return None


class _Publisher(DisplayPublisher):
    """``display(...)``: images as images, everything else as text."""

    def publish(
        self, data: dict[str, Any], *_args: Any, **_kwargs: Any
    ) -> None:  # the rest of IPython's arguments does not matter here
        if not _pictures_of(self).show(data):
            _print_text(data)

    def clear_output(self, wait: bool = False) -> None:
        """Do nothing: what was sent cannot be taken back, and control codes would only soil the text."""


class _ResultHook(DisplayHook):
    """The last expression's value: an image, or its text without a prompt."""

    def write_output_prompt(self) -> None:
        """Write none."""

    def write_format_data(self, format_dict: dict[str, Any], md_dict: object = None) -> None:  # noqa: ARG002 - IPython's signature
        if not _pictures_of(self).show(format_dict):
            _print_text(format_dict)


def _pictures_of(part: Any) -> Pictures:
    """Find the shell's pictures from one of its parts."""
    pictures: Pictures = part.shell.pictures
    return pictures


def _print_text(bundle: dict[str, Any]) -> None:
    text = bundle.get("text/plain", "")
    if text.startswith("<IPython.core.display."):
        # The plain text of Markdown(...) and Latex(...) only names the class; what was meant is readable as it is.
        text = bundle.get("text/markdown") or bundle.get("text/latex") or text
    if text:
        print(text)


class _Exit(ExitAutocall):
    """``exit``, ``exit()``, ``exit(3)`` and ``quit`` end the call, as in a script."""

    def __call__(self, code: object = None) -> None:
        raise SystemExit(code)


class _Shell(InteractiveShell):
    """IPython without colours, history, profile folder and terminal."""

    displayhook_class = Type(_ResultHook)
    display_pub_class = Type(_Publisher)

    # Straight to descriptors 1 and 2, in order with everything else; the default goes through a terminal.
    system = InteractiveShell.system_raw

    pictures: Pictures | None = None

    def enter(self, pictures: Pictures) -> None:
        """Be where people's code runs; a shell that was made before there was such a place has been elsewhere."""
        self.pictures = pictures
        here = Path.cwd()
        self.starting_dir = str(here)
        if self.history_manager is not None:
            self.history_manager.dir_hist[:] = [here]

    def show_html(self, *, wanted: bool) -> None:
        """Show values that have an HTML form, such as tables, in it from now on, or no more."""
        if self.pictures is None or self.pictures.html_wanted == wanted:
            return
        self.pictures.html_wanted = wanted
        if self.display_formatter is not None:
            self.display_formatter.active_types = [*_SHOWN_TYPES, _HTML] if wanted else [*_SHOWN_TYPES]

    def init_profile_dir(self, profile_dir: object) -> None:  # noqa: ARG002 - IPython's signature
        """Have none: it would be made on disk at every start, which a full disk refuses."""
        self.profile_dir = None
        self.db = {}  # what %cd, %bookmark and %store keep; the default looks for it in the profile

    def init_ipython_dir(self, ipython_dir: object) -> None:  # noqa: ARG002 - IPython's signature
        """Name it without making it, for the same reason."""
        self.ipython_dir = str(Path.home() / ".ipython")

    @observe("ipython_dir")
    def _ipython_dir_changed(self, change: object) -> None:
        """Take the name as it is; IPython's own observer makes the folder."""

    def init_display_formatter(self) -> None:
        super().init_display_formatter()  # type: ignore[no-untyped-call]
        if self.display_formatter is not None:
            self.display_formatter.active_types = [*_SHOWN_TYPES]

    def init_user_ns(self) -> None:
        self.exiter = _Exit(self)  # type: ignore[no-untyped-call]
        super().init_user_ns()  # type: ignore[no-untyped-call]

    @contextlib.contextmanager
    def _tee(self, channel: object) -> Iterator[None]:  # noqa: ARG002 - IPython's signature
        """Keep no copy of everything that is printed; IPython would, for as long as the process lives."""
        yield

    def showtraceback(self, *args: Any, **kwargs: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, SystemExit):
            _print_exit(error.code)
            return
        if error is not None:
            _hide_own_frames(error.__traceback__)
        super().showtraceback(*args, **kwargs)

    def ask_exit(self) -> None:
        """End the call, not the shell."""
        raise SystemExit


def _hide_own_frames(frames: TracebackType | None) -> None:
    """Cut a traceback where people's code called into this file (``input``): what is below is no concern of theirs."""
    while frames is not None and frames.tb_next is not None:
        if frames.tb_next.tb_frame.f_code.co_filename == __file__:
            frames.tb_next = None
        frames = frames.tb_next


def _print_exit(code: object) -> None:
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    status = "" if code is None else f" with {code!r}"
    print(f"[atoll] The code asked to exit{status}: the call ends here, Python and its variables live on.")


def _make_shell() -> _Shell:
    _replace_input()
    config = Config()
    config.HistoryManager.enabled = False
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.color_info = False
    config.InteractiveShell.autoindent = False
    config.InteractiveShell.banner1 = ""
    config.Completer.use_jedi = False
    warnings.filterwarnings("ignore", message="To exit: use")
    warnings.filterwarnings("ignore", message="You executed the system command")
    warnings.filterwarnings("ignore", message="Output cache limit")  # of the thousand values that ``Out`` remembers
    shell: _Shell = _Shell.instance(config=config)
    shell.loop_runner = _run_coroutine
    shell.autoawait = True
    _show_plots()
    return shell


def _run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a cell with top-level ``await``; an interrupt cancels it instead of leaving it for the next cell."""
    from IPython.core.async_helpers import get_asyncio_loop  # noqa: PLC0415 - asyncio costs time most calls don't need

    loop = get_asyncio_loop()  # type: ignore[no-untyped-call]
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except KeyboardInterrupt:
        if not task.done():
            task.cancel()
            with contextlib.suppress(BaseException):
                loop.run_until_complete(task)
        raise


def _replace_streams() -> None:
    """Text that is exact in order, never fails on odd characters, and is out at each line's end."""
    out = io.BufferedWriter(io.FileIO(1, "w", closefd=False))
    err = io.BufferedWriter(io.FileIO(2, "w", closefd=False))
    sys.stdout = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.stderr = _Stderr(err, encoding="utf-8", errors="backslashreplace", line_buffering=True)
    sys.__stdout__ = sys.stdout  # type: ignore[misc]  # or code that puts "the real" stdout back would lose order
    sys.__stderr__ = sys.stderr  # type: ignore[misc]
    faulthandler.enable(file=2)
    with contextlib.suppress(Exception):
        # C code's own stdout, by lines too: it would come out at the very end otherwise.
        _libc().setvbuf(ctypes.c_void_p.in_dll(_libc(), "stdout"), None, 1, 0)


def _replace_input() -> None:
    def no_input(prompt: object = "", /) -> NoReturn:
        _show_prompt(prompt)
        raise EOFError(_NO_INPUT.format("input()"))

    def no_password(prompt: object = "Password: ", *_args: object, **_options: object) -> NoReturn:
        _show_prompt(prompt)
        raise EOFError(_NO_INPUT.format("getpass()"))

    builtins.input = no_input
    getpass.getpass = no_password


def _show_prompt(prompt: object) -> None:
    if str(prompt):
        print(prompt)


def prepare_plots() -> None:
    """Let matplotlib, if and when it is imported, draw for display and not for a screen."""
    has_inline = importlib.util.find_spec("matplotlib_inline") is not None
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline" if has_inline else "agg")


def _show_plots() -> None:
    """Join matplotlib's inline back end to the shell where it was imported before there was one."""
    backend = sys.modules.get("matplotlib_inline.backend_inline")
    if backend is not None:
        backend._enable_matplotlib_integration()  # noqa: SLF001 - what importing it does


def _flush_before_processes(event: str, _arguments: object) -> None:
    if event in _PROCESS_EVENTS:
        flush()


def _image_bytes(value: Any) -> bytes | None:
    if isinstance(value, bytes):
        return value
    with contextlib.suppress(ValueError, TypeError, binascii.Error):
        return base64.b64decode(value)
    return None


def _stdout() -> TextIO:
    """Give this process's own stdout, whatever people's code has put in its place."""
    return sys.__stdout__ or sys.stdout


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


@functools.cache
def _fflush() -> Any:
    """Give C's ``fflush``: every call of people's code ends with it, and looking it up takes far longer."""
    return _libc().fflush


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
