"""``atoll config``: every setting, its value, and where that came from."""

import re
from pathlib import Path
from typing import Any, Final

from atoll.cli.arguments import AsJson, print_json
from atoll.cli.tables import print_table
from atoll.operate.settings_options import with_settings
from atoll.settings import DESCRIPTIONS, Loaded, render

_PASSWORD: Final = re.compile(r"(?<=://)([^/:@]*):[^/]*@")
_QUERY: Final = re.compile(r"\?.*", re.DOTALL)


@with_settings()
def config(loaded: Loaded, *, as_json: AsJson = False) -> None:
    """Print each setting, its value and where it came from. Secrets are masked."""
    if as_json:
        print_json({name: {"value": _shown(loaded, name), "from": loaded.origins[name]} for name in DESCRIPTIONS})
        return
    rows = ((name, _text(name, _shown(loaded, name)), loaded.origins[name]) for name in DESCRIPTIONS)
    print_table(("setting", "value", "from"), rows)


def _text(name: str, value: object) -> str:
    return "-" if value is None else render(name, value)


def _shown(loaded: Loaded, name: str) -> Any:
    value = getattr(loaded.settings, name)
    if DESCRIPTIONS[name].secret and value is not None:
        return without_password(value) if "://" in value else "********"
    return str(value) if isinstance(value, Path) else value


def without_password(url: str) -> str:
    """Mask what may be secret in a URL: the password, and the whole query, where drivers take one too."""
    return _QUERY.sub("?********", _PASSWORD.sub(r"\1:********@", url))
