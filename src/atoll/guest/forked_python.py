"""Makes a fork of the preloaded agent people's Python, as like a freshly started one as can be."""

import contextlib
import ctypes
import gc
import os
import random
import signal
import site
import sys
from types import ModuleType
from typing import Any, Final

from atoll.guest import kernel

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE: Final = 4
_OWN_PACKAGE: Final = "atoll"
# Frames of the agent lie below people's; they are not to pay for them.
_OWN_FRAMES: Final = 64


def serve(control: int, acknowledge: int, data_dir: str, environment: dict[str, str]) -> None:
    """Be people's Python until the agent is gone. The process has their user, limits and descriptors already."""
    # As after an exec: processes of one user may look at each other.
    _LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    _set_signals()
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(kernel.__file__), str(control), str(acknowledge), data_dir]
    _hide_agent()
    _add_user_packages()
    sys.setrecursionlimit(sys.getrecursionlimit() + _OWN_FRAMES)
    renew_randomness()
    kernel.serve(control, acknowledge, data_dir)


def renew_randomness() -> None:
    """Give every generator that has a state a new one, and forget secrets drawn before the fork.

    What asks the kernel (``secrets``, ``uuid4``, ``numpy.random.default_rng``) or notices forks (OpenSSL, ``tempfile``)
    needs nothing; the seed of ``hash`` is the interpreter's and is shared by all forks of one image.
    """
    random.seed()
    for generator in _generators:
        with contextlib.suppress(Exception):
            _renew(generator)
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.seed()
    uuid: Any = sys.modules.get("uuid")
    if uuid is not None:
        uuid._node = uuid._last_timestamp = None  # noqa: SLF001 - a clock and an address that are kept from draw to draw
    tempfile: Any = sys.modules.get("tempfile")
    if tempfile is not None:
        tempfile._name_sequence = tempfile.tempdir = None  # noqa: SLF001 - the folder was looked for in the zygote
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.current_process().authkey = os.urandom(32)


_generators: Final[list[Any]] = []
_own_modules: Final[list[str]] = []
_hidden: Final[list[ModuleType]] = []


def prepare() -> None:
    """Look for what each fork has to find, while everything in memory is still this process's own.

    A look at every module or object writes to the memory of each (its reference count), and in a fork that is a copy.
    These are the generators that imported modules keep, and the agent's modules.
    """
    _generators.extend(one for one in gc.get_objects() if _is_generator(one))
    _own_modules.extend(name for name in sys.modules if name.partition(".")[0] == _OWN_PACKAGE)


def _is_generator(one: object) -> bool:
    kind = type(one)
    if issubclass(kind, random.Random):
        return not issubclass(kind, random.SystemRandom)
    return str(kind.__module__).startswith("numpy.random") and kind.__name__ in {"RandomState", "Generator"}


def _renew(generator: Any) -> None:
    if isinstance(generator, random.Random) or type(generator).__name__ == "RandomState":
        generator.seed()
    else:
        kind = type(generator.bit_generator)
        generator.bit_generator.state = kind().state


def _set_signals() -> None:
    """Do what an interpreter does at its start."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _hide_agent() -> None:
    """Take the agent's modules out of people's way: their names are their own. To free them would copy their memory."""
    _hidden.extend(sys.modules.pop(name) for name in _own_modules)


def _add_user_packages() -> None:
    """Find what people have installed for themselves since the zygote looked."""
    if site.ENABLE_USER_SITE:
        with contextlib.suppress(Exception):
            site.USER_BASE = site.USER_SITE = None
            site.addusersitepackages(set(sys.path))
