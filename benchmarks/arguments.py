"""What every script takes on its command line."""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from benchmarks.report import RESULTS

_ENDED: Final = 128 + signal.SIGTERM


def arguments(text: str | None) -> argparse.ArgumentParser:
    """Give a parser that has the script's opening text and ``--results``, to which a script adds its own.

    From now on SIGTERM ends this process as Ctrl-C does, so that it ends what it has started.
    """
    signal.signal(signal.SIGTERM, _end)
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the result goes (default: %(default)s)"
    )
    return parser


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # another one would break off the tidying up
    sys.exit(_ENDED)
