"""How the processes of ``atoll serve`` write their log: to stderr, one line an event, for people or for programs.

Every line has the ids of what it is about: those that it names, and those of the request in whose course it was written
(``atoll.about``). An id counts as named when it is an argument of the message as a whole, which texts of people or of a
sandbox that only look like one are not.
"""

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from atoll import about
from atoll.model.ids import is_id
from atoll.settings import LogFormat, LogLevel

_FORMAT: Final = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"
_NOISY: Final = ("httpx", "httpcore", "asyncio", "sqlalchemy.engine", "alembic", "urllib3")


def configure_logging(level: LogLevel, form: LogFormat = "text", process: str = "atoll") -> None:
    """Send this process's log to stderr, from ``level`` up; JSON lines say which ``process`` wrote them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(process) if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    quiet = () if level == "debug" else ("uvicorn.error",)  # the launcher says the same in its own words
    for noisy in (*quiet, *_NOISY):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def ids_of(record: logging.LogRecord) -> dict[str, str]:
    """Give the ids that a line is about, by their kinds, the known ones only."""
    here = about.current()
    found = {"request_id": here.request_id, "container_id": here.container_id} if here is not None else {}
    found.update(_named(record))
    sandbox_id = found.get("sandbox_id", "")
    if sandbox_id and not found.get("container_id"):
        found["container_id"] = about.container_of(sandbox_id)
    order = ("request_id", "container_id", "sandbox_id")
    return {name: found[name] for name in order if found.get(name)}


class TextLines(logging.Formatter):
    """For people: the message, and behind it in brackets the ids that it does not name itself."""

    def __init__(self) -> None:
        super().__init__(_FORMAT, _TIME_FORMAT)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its name in logging
        """Give the line without its traceback."""
        line = super().formatMessage(record)
        if getattr(record, "is_data", False):  # somebody reads it by a program
            return line
        unsaid = [value for value in ids_of(record).values() if value not in record.message]
        return f"{line} [{' '.join(unsaid)}]" if unsaid else line


class JsonLines(logging.Formatter):
    """For programs: one JSON object a line."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Give the line; what was passed as ``extra={"fields": {...}}`` stands beside the rest."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **ids_of(record),
        }
        here = about.current()
        if here is not None and here.span.trace_id:
            line["trace_id"] = here.span.trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        for name, value in _fields(record).items():
            line.setdefault(name, value)
        return json.dumps(line, default=str)


def _named(record: logging.LogRecord) -> Iterator[tuple[str, str]]:
    arguments = record.args if isinstance(record.args, tuple) else ()
    for value in (*arguments, *_fields(record).values()):
        if not isinstance(value, str):
            continue
        if is_id("sbx_", value):
            yield "sandbox_id", value
        elif is_id("cntr_", value):
            yield "container_id", value


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = getattr(record, "fields", None)
    return fields if isinstance(fields, dict) else {}
