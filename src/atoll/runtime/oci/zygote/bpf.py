"""Compiles a seccomp profile of an OCI spec to the program that the OCI runtime would load, with libseccomp.

The library is there because runc and crun need it. A forked sandbox loads the program itself, so it must come out
of the same profile by the same compiler.
"""

import ctypes
import os
from typing import Any, Final

_LIBRARY: Final = "libseccomp.so.2"
_ERRNO: Final = 0x00050000
_ALLOW: Final = 0x7FFF0000
_OPERATORS: Final = {"SCMP_CMP_NE": 1, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
_UNKNOWN_CALL: Final = -1
_PROGRAM_BYTES_MAX: Final = 4096 * 8  # BPF_MAXINSNS instructions of eight bytes


class CannotCompileError(Exception):
    """There is no libseccomp, or it does not take the profile."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def compile_profile(profile: dict[str, Any]) -> bytes:
    """Give the instructions, as ``struct sock_filter`` one after the other. Raises ``CannotCompileError``."""
    library = _load()
    context = ctypes.c_void_p(library.seccomp_init(_ERRNO | profile["defaultErrnoRet"]))
    if context.value is None:
        raise CannotCompileError("libseccomp has no memory")
    try:
        for rule in profile["syscalls"]:
            _add(library, context, rule)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
        library.seccomp_init.restype = ctypes.c_void_p
        library.seccomp_init.argtypes = (ctypes.c_uint32,)
        library.seccomp_rule_add_array.argtypes = (
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_void_p,
        )
    except (OSError, AttributeError) as error:
        raise CannotCompileError(f"{_LIBRARY} cannot be used: {error}") from error
    return library


def _add(library: ctypes.CDLL, context: ctypes.c_void_p, rule: dict[str, Any]) -> None:
    action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
    arguments = rule.get("args", [])
    comparisons = (_Comparison * len(arguments))(
        *(_Comparison(one["index"], _OPERATORS[one["op"]], one["value"], one["valueTwo"]) for one in arguments)
    )
    for name in rule["names"]:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN_CALL:  # OCI runtimes leave out what their library is too old to know, too
            continue
        result = library.seccomp_rule_add_array(context, action, number, len(arguments), comparisons)
        if result != 0:
            raise CannotCompileError(f"libseccomp does not take the rule of {name}: {os.strerror(-result)}")


def _export(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    descriptor = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        result = library.seccomp_export_bpf(context, descriptor)
        if result != 0:
            raise CannotCompileError(f"libseccomp gives no program: {os.strerror(-result)}")
        return os.pread(descriptor, _PROGRAM_BYTES_MAX, 0)
    finally:
        os.close(descriptor)
