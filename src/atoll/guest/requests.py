"""Reads what the host asks for: typed, bounded, and refused when it makes no sense."""

import re
import signal
from dataclasses import dataclass
from typing import Any, Final, Literal

from atoll.guest.paths import folder_parts_of
from atoll.guest.program import Program

StopReason = Literal["timeout", "interrupted"]

_TIMEOUT_MS_MAX: Final = 7 * 24 * 3600 * 1000
_OUTPUT_MAX: Final = 64 * 1024 * 1024
_OUTPUT_CHARS_DEFAULT: Final = 10 * 1024 * 1024
_IMAGES_MAX: Final = 10_000
_COMMANDS_MAX: Final = 10_000
_FILE_BYTES_MAX: Final = 1 << 62
_MODULES_MAX: Final = 256
_VARIABLES_MAX: Final = 1_000
_ARGUMENTS_MAX: Final = 10_000
_ENTRIES_MAX: Final = 10_000_000
_PEM_CHARS_MAX: Final = 16 * 1024
_TERMINALS_MAX: Final = 10_000
_CHARACTERS_MAX: Final = 1000
_TERMINAL_ID: Final = re.compile(r"[a-z]+_[0-9a-f]{1,64}")
_SIGNALS: Final = {
    "INT": signal.SIGINT,
    "QUIT": signal.SIGQUIT,
    "TSTP": signal.SIGTSTP,
    "TERM": signal.SIGTERM,
    "KILL": signal.SIGKILL,
    "HUP": signal.SIGHUP,
}


class RequestError(ValueError):
    """A request that cannot be carried out as it stands; ``field`` is what is wrong in it, where that is one."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class PythonRequest:
    """Fields of ``python``."""

    code: str
    timeout_ms: int
    output_bytes_max: int
    images_max: int
    environment: dict[str, str]
    html: bool


@dataclass(frozen=True, slots=True)
class ShellRequest:
    """Fields of ``shell``."""

    commands: tuple[str, ...]
    timeout_ms: int
    output_chars_max: int
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class ProcessRequest:
    """Fields of ``process``; with ``has_input`` what it reads follows as ``DATA``."""

    program: Program
    user: str | None
    has_input: bool
    timeout_ms: int
    output_bytes_max: int


@dataclass(frozen=True, slots=True)
class GetRequest:
    """Fields of ``file_get``; ``length`` ``None`` is to the end."""

    path: str
    offset: int
    length: int | None


@dataclass(frozen=True, slots=True)
class PutRequest:
    """Fields of ``file_put``."""

    path: str
    exclusive: bool


@dataclass(frozen=True, slots=True)
class ArchiveRequest:
    """Fields of ``archive_get`` and ``archive_put``; ``parts`` are the names below the data folder."""

    parts: tuple[str, ...]
    entries_max: int


def read_archive(fields: dict[str, Any]) -> ArchiveRequest:
    """Raises ``RequestError``, ``PathError``."""
    return ArchiveRequest(folder_parts_of(fields.get("path")), _number(fields, "entries_max", 1, _ENTRIES_MAX))


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """Of a terminal, in characters."""

    columns: int
    rows: int


@dataclass(frozen=True, slots=True)
class TerminalRequest:
    """Fields of ``terminal_open`` and ``terminal_attach``, which has no use for the last two."""

    id: str
    size: TerminalSize
    environment: dict[str, str]
    terminals_max: int


def read_python(fields: dict[str, Any]) -> PythonRequest:
    """Raises ``RequestError``."""
    return PythonRequest(
        code=_text(fields, "code"),
        timeout_ms=_number(fields, "timeout_ms", 1, _TIMEOUT_MS_MAX),
        output_bytes_max=_number(fields, "output_bytes_max", 0, _OUTPUT_MAX),
        images_max=_number(fields, "images_max", 0, _IMAGES_MAX),
        environment=_environment(fields),
        html=fields.get("html") is True,
    )


def read_warm(fields: dict[str, Any]) -> tuple[str, ...]:
    """Give ``modules`` of ``warm``. Raises ``RequestError``."""
    modules = fields.get("modules")
    if not isinstance(modules, list) or len(modules) > _MODULES_MAX:
        raise RequestError(f"modules must be a list of at most {_MODULES_MAX} names")
    return tuple(_command(module) for module in modules)


def read_shell(fields: dict[str, Any]) -> ShellRequest:
    """Raises ``RequestError``."""
    commands = fields.get("commands")
    if not isinstance(commands, list) or not 0 < len(commands) <= _COMMANDS_MAX:
        raise RequestError(f"commands must be a list of 1 to {_COMMANDS_MAX} texts")
    limit = _OUTPUT_CHARS_DEFAULT
    if fields.get("output_chars_max") is not None:
        limit = _number(fields, "output_chars_max", 0, _OUTPUT_MAX)
    return ShellRequest(
        commands=tuple(_command(command) for command in commands),
        timeout_ms=_number(fields, "timeout_ms", 1, _TIMEOUT_MS_MAX),
        output_chars_max=limit,
        environment=_environment(fields),
    )


def read_process(fields: dict[str, Any]) -> ProcessRequest:
    """Raises ``RequestError``."""
    argv = fields.get("argv")
    if not isinstance(argv, list) or not 0 < len(argv) <= _ARGUMENTS_MAX or argv[0] == "":
        raise RequestError(f"argv must be a list of 1 to {_ARGUMENTS_MAX} texts, the first not empty", "argv")
    cwd, user = fields.get("cwd"), fields.get("user")
    return ProcessRequest(
        program=Program(
            argv=tuple(_command(argument) for argument in argv),
            environment=_environment(fields),
            cwd="" if cwd is None else _command(cwd),
        ),
        user=None if user is None else _command(user),
        has_input=fields.get("input") is True,
        timeout_ms=_number(fields, "timeout_ms", 1, _TIMEOUT_MS_MAX),
        output_bytes_max=_number(fields, "output_bytes_max", 0, _OUTPUT_MAX),
    )


def read_terminal(fields: dict[str, Any]) -> TerminalRequest:
    """Raises ``RequestError``."""
    terminals_max = 0
    if fields.get("op") == "terminal_open":
        terminals_max = _number(fields, "terminals_max", 0, _TERMINALS_MAX)
    return TerminalRequest(read_terminal_id(fields), _size(fields), _environment(fields), terminals_max)


def read_terminal_id(fields: dict[str, Any]) -> str:
    """Give ``id``. Raises ``RequestError``."""
    terminal_id = _text(fields, "id")
    if not _TERMINAL_ID.fullmatch(terminal_id):
        raise RequestError("id must be a terminal's")
    return terminal_id


def read_terminal_order(fields: dict[str, Any]) -> TerminalSize | signal.Signals:
    """Give the new size, or the signal, that a terminal is sent while it is in use. Raises ``RequestError``."""
    match fields.get("op"):
        case "resize":
            return _size(fields)
        case "signal":
            number = _SIGNALS.get(_text(fields, "signal"))
            if number is None:
                raise RequestError(f"signal must be one of {', '.join(_SIGNALS)}")
            return number
    raise RequestError("a terminal that is in use takes resize and signal")


def read_trust(fields: dict[str, Any]) -> str:
    """Give ``pem`` of ``trust``. Raises ``RequestError``."""
    pem = _text(fields, "pem")
    if len(pem) > _PEM_CHARS_MAX:
        raise RequestError("pem is longer than a certificate")
    return pem


def read_get(fields: dict[str, Any]) -> GetRequest:
    """Raises ``RequestError``."""
    length = None if fields.get("length") is None else _number(fields, "length", 0, _FILE_BYTES_MAX)
    return GetRequest(_text(fields, "path"), _number(fields, "offset", 0, _FILE_BYTES_MAX), length)


def read_put(fields: dict[str, Any]) -> PutRequest:
    """Raises ``RequestError``."""
    exclusive = fields.get("exclusive", False)
    if not isinstance(exclusive, bool):
        raise RequestError("exclusive must be true or false")
    return PutRequest(_text(fields, "path"), exclusive)


def _size(fields: dict[str, Any]) -> TerminalSize:
    return TerminalSize(_number(fields, "columns", 1, _CHARACTERS_MAX), _number(fields, "rows", 1, _CHARACTERS_MAX))


def _environment(fields: dict[str, Any]) -> dict[str, str]:
    given = fields.get("environment", {})
    if not isinstance(given, dict) or len(given) > _VARIABLES_MAX:
        raise RequestError(f"environment must be an object of at most {_VARIABLES_MAX} variables")
    for name, value in given.items():
        if not name or "=" in name or not isinstance(value, str) or not _is_utf8(name + value) or "\0" in name + value:
            raise RequestError("environment must have names and texts")
    return dict(given)


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not _is_utf8(value):
        raise RequestError(f"{name} must be text in UTF-8")
    return value


def _number(fields: dict[str, Any], name: str, least: int, most: int) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RequestError(f"{name} must be a whole number from {least} to {most}")
    return value


def _command(value: object) -> str:
    if not isinstance(value, str) or "\0" in value or not _is_utf8(value):
        raise RequestError("a command must be text in UTF-8 without a zero byte")
    return value


def _is_utf8(text: str) -> bool:
    """JSON can name halves of a surrogate pair, which no UTF-8 can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
