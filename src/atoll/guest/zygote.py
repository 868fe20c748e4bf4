"""A Python with everything imported, from which agents are forked into sandboxes.

Runs in the image, outside of every sandbox, as a user of its own that may do nothing: no capability, no network, no
file of anybody. What it imports is the image's and a stranger to the host, so the host believes nothing that is said
here; the kernel tells it which process speaks, and it looks at that process from outside before anybody uses it.

The way of a fork, each step over a channel of its own (``SOCK_SEQPACKET``):

1. The host sends ``fork`` on the control socket with three descriptors: the channel, the sandbox's user namespace (made
   by this very user, so a fork has every capability in there), and the agent's listening socket.
2. A fork joins the user namespace, makes a pid namespace in it and forks again: the agent-to-be is its first process,
   as it would be when started by the OCI runtime. It says ``born``.
3. The host makes the sandbox around it: the OCI runtime joins these two namespaces and makes all others. Then the
   agent-to-be is put into the sandbox's cgroup and is sent its arguments with its log and those namespaces.
4. It joins the other namespaces, lets go of everything, says ``ready`` and is the agent.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn

from atoll.guest.__main__ import serve
from atoll.guest.options import parse

_CONTROL_FD: Final = 3  # in a fork the listener, as the OCI runtime gives it
_CHANNEL_FD: Final = 4
_LOWEST_FREE: Final = 16
_COMPLAINT_BYTES_MAX: Final = 200
_PIPE_BYTES: Final = 64 * 1024
_MESSAGE_BYTES_MAX: Final = 128 * 1024
_GUEST_ROOT: Final = str(Path(__file__).parents[2])

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWPID: Final = 0x20000000
# NEWCGROUP, NEWIPC, NEWNET, NEWUTS, NEWNS: in the order in which the host sends them.
_OTHER_NAMESPACES: Final = (0x02000000, 0x08000000, 0x40000000, 0x04000000, 0x00020000)
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_CAPBSET_READ: Final = 23
_PR_CAPBSET_DROP: Final = 24
_SECCOMP_MODE_FILTER: Final = 2
_CAPABILITY_VERSION_3: Final = 0x20080522
_INSTRUCTION_BYTES: Final = 8

_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _Program(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Order:
    """What the host says at the start, for all forks."""

    def __init__(self, text: bytes) -> None:
        value: dict[str, Any] = json.loads(text)
        self.preload: list[str] = value["preload"]
        self.arguments: list[str] = value["arguments"]
        self.environment: dict[str, str] = value["environment"]
        self.capabilities: list[int] = value["capabilities"]
        self.seccomp = bytes.fromhex(value["seccomp"])


def main() -> None:
    """Import, and fork when asked, until the host is gone."""
    _call(_LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    control = socket.socket(fileno=_CONTROL_FD)
    order = Order(control.recv(_MESSAGE_BYTES_MAX))
    preload(order.preload, parse(order.arguments, order.environment, sys.executable).people.environment)
    sys.path.remove(_GUEST_ROOT)
    control.send(b"ready")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 64, 8)
        if not message:
            return
        try:
            _fork(control, order, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def preload(modules: list[str], environment: dict[str, str]) -> None:
    """Import what people's Python and the image's list need, and leave no garbage and no thread."""
    # With the environment below.
    from atoll.guest import forked_python, huge_pages, immortal, kernel, rehearsal  # noqa: PLC0415

    os.environ.clear()
    os.environ.update(environment)
    kernel.prepare_plots()
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - one that fails here fails again where people can see it
            print(f"cannot preload {module}: {error!r}", file=sys.stderr)
    # Libraries that keep threads (BLAS) end theirs before a fork and start them again when they are used.
    for module in _rehearse(kernel.rehearse):
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    rehearsal.run(kernel.prepare())
    gc.collect()
    forked_python.prepare()
    immortal.make_all()
    gc.freeze()
    _give_back()
    huge_pages.collapse()


def _give_back() -> None:
    """Have the C library let go of what large lists took."""
    with contextlib.suppress(AttributeError):  # not every one has this
        _LIBC.malloc_trim(0)


def _rehearse(call: Callable[[], None]) -> list[str]:
    """Call something in a fork; give the modules that it imported."""
    known = set(sys.modules)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            call()
            os.write(writer, " ".join(name for name in sys.modules if name not in known).encode()[:_PIPE_BYTES])
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    names = os.read(reader, _PIPE_BYTES).decode().split()
    os.close(reader)
    return names


def _fork(control: socket.socket, order: Order, descriptors: list[int]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            os.close(control.detach())
            _enter(order, *descriptors)
        except BaseException as error:  # noqa: BLE001 - nothing may unwind into the zygote's loop in this process
            _complain(error)
        finally:
            os._exit(1)
    os.waitpid(pid, 0)


def _complain(error: BaseException) -> None:
    """Say on the channel, wherever it is by now, why there will be no agent."""
    where = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)]
    text = f"{error!r} at {where}".encode()[:_COMPLAINT_BYTES_MAX]
    for descriptor in range(_CONTROL_FD + 1, _LOWEST_FREE):
        with contextlib.suppress(OSError), socket.socket(fileno=descriptor) as channel:
            channel.send(text)


def _enter(order: Order, channel_fd: int, user_namespace: int, listener: int) -> NoReturn:
    """In a fork: make the first process of a new pid namespace in the sandbox's user namespace, and end."""
    _join(user_namespace, _CLONE_NEWUSER)
    _call(_LIBC.unshare(_CLONE_NEWPID))
    _call(_LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    pid = os.fork()
    if pid != 0:
        os._exit(0)
    channel = socket.socket(fileno=channel_fd)
    channel.send(b"born")
    text, (log, *namespaces), _, _ = socket.recv_fds(channel, _MESSAGE_BYTES_MAX, 1 + len(_OTHER_NAMESPACES))
    arguments: list[str] = json.loads(text)["arguments"]
    os.setsid()
    for namespace, kind in zip(namespaces, _OTHER_NAMESPACES, strict=True):
        _join(namespace, kind)
    os.chdir("/")
    os.umask(0o022)
    _place_descriptors(listener, log, channel.detach())
    os.environ.clear()
    os.environ.update(order.environment)
    options = replace(parse(arguments, order.environment, sys.executable), forks_python=True)
    drop(order.capabilities, order.seccomp)
    os.write(_CHANNEL_FD, b"ready")
    os.close(_CHANNEL_FD)
    serve(options)
    os._exit(0)


def _place_descriptors(listener: int, log: int, channel: int) -> None:
    """Have what the OCI runtime gives an agent: no input, its log, the listener; and the channel, for a moment."""
    listener, log, channel = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _LOWEST_FREE) for fd in (listener, log, channel))
    null = os.open(os.devnull, os.O_RDWR)
    for target, source in enumerate((null, log, log, listener, channel)):
        os.dup2(source, target)
    os.closerange(_CHANNEL_FD + 1, os.sysconf("SC_OPEN_MAX"))


def drop(capabilities: list[int], seccomp: bytes) -> None:
    """Be root of the user namespace with these capabilities and no other, behind the filter."""
    number = 0
    while (is_bound := _LIBC.prctl(_PR_CAPBSET_READ, number, 0, 0, 0)) >= 0:
        if is_bound and number not in capabilities:
            _call(_LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0))
        number += 1
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    _set_capabilities(sum(1 << number for number in capabilities))
    _call(_LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))
    instructions = ctypes.create_string_buffer(seccomp, len(seccomp))
    program = _Program(len(seccomp) // _INSTRUCTION_BYTES, ctypes.cast(instructions, ctypes.c_void_p))
    _call(_LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def _set_capabilities(mask: int) -> None:
    low, high = mask & 0xFFFFFFFF, mask >> 32
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    _call(_LIBC.capset(header, data))


def _join(descriptor: int, kinds: int) -> None:
    _call(_LIBC.setns(descriptor, kinds))


def _call(result: int) -> None:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
