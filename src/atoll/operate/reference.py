"""The reference page of settings, written from the settings themselves.

``python -m atoll.operate.reference > docs/reference/settings.md``; a test compares the two.
"""

import sys
from itertools import groupby
from typing import Final

from atoll.settings import DESCRIPTIONS, ENVIRONMENT_PREFIX, default_text, type_text

_HEAD: Final = """\
# Settings

A setting comes from the command line (`--data-dir`), else from the environment (`ATOLL_DATA_DIR`), else from one TOML
file (`data_dir`), else from its default. The file is the one of `--config`, else of `ATOLL_CONFIG`, else
`/etc/atoll/atoll.toml` where that exists; its keys stand at the top level:

```toml
port = 9000
disk_bytes = "4GiB"
```

`atoll config` prints every setting, its value and where it came from. A name that is no setting and a value that cannot
be are errors. Sizes take the units `KiB`, `MiB`, `GiB`, `TiB`; an empty variable counts as not set.

`ATOLL_API_KEY` is no setting: for the server it is the first key, for the command line the key to use, as
`ATOLL_BASE_URL` is the server to use.
"""


def settings_page() -> str:
    """Give the page as Markdown."""
    parts = [_HEAD]
    for group, names in groupby(DESCRIPTIONS, key=lambda name: DESCRIPTIONS[name].group):
        parts.append(f"\n## {group}\n\n| setting | what it is | values | default |\n|---|---|---|---|\n")
        parts.extend(
            f"| `{name}`<br>`{ENVIRONMENT_PREFIX}{name.upper()}` | {DESCRIPTIONS[name].text} "
            f"| {type_text(name)} | {default_text(name)} |\n"
            for name in names
        )
    return "".join(parts)


if __name__ == "__main__":
    sys.stdout.write(settings_page())
