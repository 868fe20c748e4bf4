"""Tables for people."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from atoll.cli.terminal import harmless

if TYPE_CHECKING:
    from rich.table import Table


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their columns' names; names and paths are shown without their control characters."""
    from rich.console import Console  # noqa: PLC0415 - slow to load

    # Lines are never cut: ids and paths are there to be copied, also from a narrow window.
    Console(width=10_000).print(table_of(columns, rows))


def table_of(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> "Table":
    """Give the same, to be drawn."""
    from rich.table import Table  # noqa: PLC0415 - slow to load
    from rich.text import Text  # noqa: PLC0415 - slow to load

    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(" ".join(harmless(cell).splitlines()), no_wrap=True, overflow="ignore") for cell in row))
    return table


def time_text(unix_s: int | None) -> str:
    """Write a time as this machine's own date and clock."""
    if unix_s is None:
        return "-"
    return datetime.fromtimestamp(unix_s, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size_text(size_bytes: int | None) -> str:
    """Write a size with three digits or so."""
    if size_bytes is None:
        return "-"
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
