"""``atoll config``: every setting, its value, and where that came from."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from atoll.operate.settings_options import with_settings
from atoll.settings import DESCRIPTIONS, Loaded, render

_MASK = "********"


@with_settings()
def config(loaded: Loaded, *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print each setting, its value and where it came from. Secrets are masked."""
    if as_json:
        rows = {name: {"value": _shown(loaded, name), "from": loaded.origins[name]} for name in DESCRIPTIONS}
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    from rich.console import Console  # noqa: PLC0415 - slow to load
    from rich.table import Table  # noqa: PLC0415 - slow to load
    from rich.text import Text  # noqa: PLC0415 - slow to load

    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for name in DESCRIPTIONS:
        value = _shown(loaded, name)
        table.add_row(name, Text("-" if value is None else render(name, value)), Text(loaded.origins[name]))
    Console(soft_wrap=True).print(table)


def _shown(loaded: Loaded, name: str) -> Any:
    value = getattr(loaded.settings, name)
    if DESCRIPTIONS[name].secret and value is not None:
        return _MASK
    return str(value) if isinstance(value, Path) else value
