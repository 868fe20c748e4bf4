"""Has a zygote ready for the image that sandboxes are made of, starts it again when it dies, says why there is none.

One at a time, for the image asked for last: two zygotes would run as one user and could reach for each other. Nobody
waits for one here: while there is none, sandboxes start cold.
"""

import logging
import os
import select
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Final

from atoll.runtime.oci.image import Image
from atoll.runtime.oci.oci_binary import OciRuntimeFailedError
from atoll.runtime.oci.zygote.bpf import CannotCompileError
from atoll.runtime.oci.zygote.namespace_maker import NamespaceMaker
from atoll.runtime.oci.zygote.process import Parts, ZygoteError, ZygoteProcess

_log = logging.getLogger(__name__)

# Those that can make a sandbox around namespaces that are there; others (gVisor, Kata) have a kernel of their own.
_RUNTIMES: Final = frozenset({"runc", "crun"})
_RESTART_PAUSES_S: Final = (0.1, 1.0, 10.0, 60.0)
_LIVED_S: Final = 60.0
# After more failures than this nobody waits for one any more.
_PROMISING_FAILURES_MAX: Final = 1


class Prospect(Enum):
    """Whether there is a zygote, will be within moments, or neither."""

    HERE = "here"
    COMING = "coming"
    NONE = "none"


class Zygotes:
    """Keeps at most one zygote. ``parts`` ``None`` means never any; ``on_ready`` is called for each that can fork."""

    def __init__(self, parts: Parts | None, on_ready: Callable[[], None]) -> None:
        self._parts = parts
        self._on_ready = on_ready
        self._lock = threading.Lock()
        self._wanted: Image | None = None
        self._current: ZygoteProcess | None = None
        self._maker: NamespaceMaker | None = None
        self._closing = threading.Event()
        self._failures = 0
        self._is_impossible = False
        self._said: set[str] = set()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._keep, name="zygotes")
        self._thread.start()

    def ready(self, image: Image) -> tuple[ZygoteProcess, NamespaceMaker] | None:
        """Give the zygote of an image and the maker of its forks' namespaces; ``None`` when there is none now."""
        if self._parts is None or not image.preload:
            if self._parts is not None:
                self._say_once(f"image {image.name} has no preload list: its sandboxes start cold")
            return None
        with self._lock:
            current, maker = self._current, self._maker
            is_wanted = self._wanted is not None and self._wanted.id == image.id
            self._wanted = image
        if not is_wanted or (maker is not None and maker.has_ended):
            os.eventfd_write(self._wake, 1)
        if current is None or maker is None or current.image_id != image.id:
            return None
        if current.process.has_ended or maker.has_ended:
            return None
        return current, maker

    def prospect(self, image: Image) -> Prospect:
        """Tell whether there is a zygote of an image, or soon will be."""
        if self.ready(image) is not None:
            return Prospect.HERE
        is_possible = self._parts is not None and image.preload and not self._is_impossible
        return Prospect.COMING if is_possible and self._failures <= _PROMISING_FAILURES_MAX else Prospect.NONE

    @property
    def has_one(self) -> bool:
        """Whether there is one to fork from."""
        with self._lock:
            return self._current is not None and not self._current.process.has_ended

    def close(self) -> None:
        """End the zygote; sandboxes live on."""
        self._closing.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        os.close(self._wake)

    def _keep(self) -> None:
        started_at = time.monotonic()
        while not self._closing.is_set():
            self._wait(self._pause())
            wanted, current = self._wanted, self._current
            if self._closing.is_set() or wanted is None or self._parts is None:
                continue
            if current is not None and current.process.has_ended:
                _log.warning("the zygote died and is started again; sandboxes live on")
                self._drop()
                self._failures = 1 if time.monotonic() - started_at > _LIVED_S else self._failures + 1
                if self._failures > 1:
                    continue
            elif current is not None and current.image_id != wanted.id:
                self._drop()
            if self._current is None:
                started_at = time.monotonic()
            self._start(self._parts, wanted)
        self._drop()
        self._close_maker()

    def _wait(self, timeout_s: float | None) -> None:
        """Wait for somebody's wish, the zygote's death, or the time to try again."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self._current is not None:
            poll.register(self._current.process.pidfd, select.POLLIN)
        poll.poll(None if timeout_s is None else timeout_s * 1000)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _pause(self) -> float | None:
        """Give how long to wait before another try; ``None`` when there is nothing to try."""
        if self._current is not None or self._failures == 0:
            return None
        return _RESTART_PAUSES_S[min(self._failures, len(_RESTART_PAUSES_S)) - 1]

    def _start(self, parts: Parts, image: Image) -> None:
        program = Path(parts.binary.program).name
        if program not in _RUNTIMES:
            self._is_impossible = True
            self._say_once(f"there are no zygotes with {program}: sandboxes start cold")
            return
        try:
            self._have_maker(parts)
            if self._current is not None:
                return
            current = ZygoteProcess(parts, image, self._closing.is_set)
        except CannotCompileError as error:
            self._is_impossible = True
            self._say_once(f"{error}: sandboxes start cold")
        except (ZygoteError, OciRuntimeFailedError, OSError, subprocess.SubprocessError) as error:
            if self._closing.is_set():
                return
            self._failures += 1
            self._say_once(f"the zygote of image {image.name} cannot be started, sandboxes start cold: {error}")
        else:
            with self._lock:
                self._current = current
            _log.info("the zygote of image %s is ready", image.name)
            self._on_ready()

    def _drop(self) -> None:
        with self._lock:
            current, self._current = self._current, None
        if current is not None:
            current.close()

    def _have_maker(self, parts: Parts) -> None:
        if self._maker is None or self._maker.has_ended:
            self._close_maker()
            self._maker = NamespaceMaker(parts.account)

    def _close_maker(self) -> None:
        maker, self._maker = self._maker, None
        if maker is not None:
            maker.close()

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            _log.warning("%s", text)
