"""What every script takes on its command line."""

import argparse
from pathlib import Path

from benchmarks.report import RESULTS


def arguments(text: str | None) -> argparse.ArgumentParser:
    """Give a parser that has the script's opening text and ``--results``, to which a script adds its own."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--results", type=Path, default=RESULTS, metavar="FOLDER", help="where the result goes (default: %(default)s)"
    )
    return parser
