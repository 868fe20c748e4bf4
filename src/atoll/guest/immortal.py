"""Makes everything in memory immortal, so that forks of this process do not write to it by looking at it.

CPython counts references to an object in the object, so whatever a fork looks at is copied. From 3.12 on (PEP 683) a
count of a certain value means that it is never changed and the object never freed. For what a zygote has imported that
is true anyway.
"""

import ctypes
import gc
import sys
from collections.abc import Iterable
from types import CodeType
from typing import Final

# The low half of the count, all bits set: immortal in every CPython that knows such, be its own number another.
_COUNT: Final = "I"
_COUNT_SHIFT: Final = 2  # an object lies at a multiple of more
_ALL_BITS: Final = 0xFFFF_FFFF
# No count that is one is as large.
_IMMORTAL: Final = 1 << 31


def make_all() -> int:
    """Make every object that can be found immortal; give how many, 0 where this Python knows no such thing.

    Nothing is noted of them but that: notes would take up memory among them that could not be given back.
    """
    if not _is_known():
        return 0
    made = 0
    found = gc.get_objects()
    while found:
        fresh: list[object] = []
        for one in found:
            if sys.getrefcount(one) < _IMMORTAL:
                _memory[id(one) >> _COUNT_SHIFT] = _ALL_BITS
                fresh.append(one)
        made += len(fresh)
        found = [*gc.get_referents(*fresh), *_parts_of_code(fresh)]
    return made


def _parts_of_code(objects: Iterable[object]) -> list[object]:
    """Give what the collector does not know of: code can be in no cycle, so it is not asked for what it refers to."""
    parts: list[object] = []
    for code in [one for one in objects if type(one) is CodeType]:
        parts += (code.co_consts, code.co_names, code.co_name, code.co_qualname, code.co_filename)
        parts += (code.co_linetable, code.co_exceptiontable)
        parts += (*code.co_varnames, *code.co_cellvars, *code.co_freevars)
    return parts


def _is_known() -> bool:
    """Try it on an object of no importance, which is kept: its count is right no more where this is not known."""
    if sys.implementation.name != "cpython" or sys.byteorder != "little" or "t" in sys.abiflags:
        return False
    probe = object()
    _kept.append(probe)
    count = ctypes.c_uint32.from_address(id(probe))
    before = count.value
    if not _counts(count, probe) or count.value != before:
        return False
    _memory[id(probe) >> _COUNT_SHIFT] = _ALL_BITS
    return not _counts(count, probe)


def _counts(count: ctypes.c_uint32, probe: object) -> bool:
    """Tell whether the count follows the references."""
    before = count.value
    more = [probe] * 3
    return count.value == (before + len(more)) % (1 << 32)


_kept: Final[list[object]] = []

# All of this process's memory. A call of `memset` takes longer, and the default image has 345,000 objects.
_memory: Final = memoryview((ctypes.c_char * (1 << 47)).from_address(0)).cast("B").cast(_COUNT)
