"""Starts programs without a copy of this process's memory, not even of its tables: what ``posix_spawn`` does inside.

Between such a fork and the program's start nothing of Python may run: both processes have the same memory. So what is
to happen there is written down as system calls in a row, and a few bytes of machine code make one after the other.
There is no function of C for it: ``posix_spawn`` can neither change the user nor make a child of this process's parent.
"""

import ctypes
import mmap
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# fork: mov rbx, rdi            the first row
# next: mov rax, [rbx]          the call's number
#       mov rdi, [rbx + 8]      its five arguments
#       mov rsi, [rbx + 16]
#       mov rdx, [rbx + 24]
#       mov r10, [rbx + 32]
#       mov r8, [rbx + 40]
#       syscall
#       mov [rbx + 8], rax      what came of it, for the parent
#       test [rbx + 48], rax    the row's last word is all ones where an error (a negative number) is the end
#       js end
#       add rbx, 56             the next row
#       jmp next
# end:  mov edi, 127
#       mov eax, 231            exit_group
#       syscall
_CODE: Final = {
    "x86_64": bytes.fromhex(
        "4889fb 488b03 488b7b08 488b7310 488b5318 4c8b5320 4c8b4328 0f05"
        "48894308 48854330 7806 4883c338 ebd7 bf7f000000 b8e7000000 0f05"
    )
}
_ARGUMENTS_MAX: Final = 5
_ROW_WORDS: Final = _ARGUMENTS_MAX + 2
_STACK_BYTES: Final = 16 * 1024
_CLONE_VM: Final = 0x00000100
_CLONE_VFORK: Final = 0x00004000

# Held by the interpreter meanwhile: another thread of it would go on with memory that is the child's, too.
_LIBC: Final = ctypes.PyDLL(None, use_errno=True)

Argument = int | bytes | Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Call:
    """A system call: its number; numbers, memory (what it reads ends with a zero byte) or an array of such memory."""

    number: int
    arguments: tuple[Argument, ...] = ()
    may_fail: bool = False


class Vfork:
    """Makes children that share this process's memory until they are programs; it waits for them until then.

    Raises ``OSError`` where that cannot be: another processor, no executable memory, or a system where a change of user
    opens a process, and with it this one, to its new user (``fs.suid_dumpable`` 1).
    """

    def __init__(self, suid_dumpable: Path = Path("/proc/sys/fs/suid_dumpable")) -> None:
        code = _CODE.get(platform.machine())
        if code is None:
            raise OSError("there is no machine code for this processor")
        if suid_dumpable.read_text().strip() == "1":
            raise OSError("a change of user would open this process to that user")
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._memory.write(code)
        self._code = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._stack = ctypes.create_string_buffer(_STACK_BYTES)
        _LIBC.clone.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

    def start(self, calls: Sequence[Call], flags: int) -> tuple[int, list[int]]:
        """Give the child's number, and what came of each call: below zero an error's number, the last one's never.

        ``flags`` are those of ``clone``, with the signal for this process. The last call starts the program or ends the
        child. Raises ``OSError`` when there is no room.
        """
        kept: list[object] = []
        words = [word for call in calls for word in _row(call, kept)]
        rows = (ctypes.c_long * len(words))(*words)
        top = ctypes.addressof(self._stack) + _STACK_BYTES
        pid = _LIBC.clone(self._code, top, _CLONE_VM | _CLONE_VFORK | flags, ctypes.addressof(rows))
        if pid < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return pid, rows[1::_ROW_WORDS]


def _row(call: Call, kept: list[object]) -> list[int]:
    words = [_word(argument, kept) for argument in call.arguments]
    return [call.number, *words, *[0] * (_ARGUMENTS_MAX - len(words)), 0 if call.may_fail else -1]


def _word(argument: Argument, kept: list[object]) -> int:
    """Give a number, or where in memory it is; ``kept`` keeps it there."""
    if isinstance(argument, int):
        return argument
    memory: ctypes.Array[ctypes.c_char] | ctypes.Array[ctypes.c_char_p]
    if isinstance(argument, bytes):
        memory = ctypes.create_string_buffer(argument)
    else:
        memory = (ctypes.c_char_p * (len(argument) + 1))(*argument, None)
    kept.append(memory)
    return ctypes.addressof(memory)
