"""How the processes of ``atoll serve`` write their log: to stderr, one line an event."""

import logging
import sys
from typing import Final

from atoll.settings import LogLevel

_FORMAT: Final = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"


def configure_logging(level: LogLevel) -> None:
    """Send this process's log to stderr, from ``level`` up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT, _TIME_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    quiet = () if level == "debug" else ("uvicorn.error",)  # the launcher says the same in its own words
    for noisy in (*quiet, "httpx", "httpcore", "asyncio", "sqlalchemy.engine", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
