"""What people's first calls will do with the libraries that are imported, done before a zygote is forked from.

Caches are filled and code is specialised once, and not in every fork again, where each page that this writes to is a
copy. Of what is made here nothing stays.
"""

import contextlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

# From the second time on nothing is imported or made for good any more, from the third on code is specialised.
_TIMES: Final = 3

SCENES: Final[Mapping[str, str]] = {
    "numpy": """
import numpy
numbers = numpy.arange(1000.0).reshape(-1, 10)
show(numbers)
show(numbers.mean(axis=0) + numbers.std() * numpy.linspace(0, 1, 10))
show(numpy.float64(1.5))
""",
    "pandas": """
import io
import pandas
table = pandas.DataFrame({"name": ["a", "b"] * 500, "value": range(1000), "share": [n / 7 for n in range(1000)]})
show(table)
show(table.head())
show(table.describe())
show(table.groupby("name")["value"].sum())
show(table.groupby("name").agg({"value": "sum", "share": "mean"}))
show(table[table["value"] > 500].sort_values("share", ascending=False))
show(table["name"].value_counts())
table["more"] = table["value"] * 2
table.info(buf=io.StringIO())
show(pandas.read_csv(io.StringIO(table.to_csv(index=False))))
""",
}


def run(show: Callable[[Any], object]) -> None:
    """Go through the scenes of what is imported; ``show`` is what a call does with its last value."""
    for module, code in SCENES.items():
        if module in sys.modules:
            # A scene that another version of a library cannot play only costs each fork what it was to save.
            with contextlib.suppress(Exception), warnings.catch_warnings():
                _play(compile(code, f"<rehearsal of {module}>", "exec"), show)


def _play(scene: Any, show: Callable[[Any], object]) -> None:
    for _ in range(_TIMES):
        exec(scene, {"show": show})  # noqa: S102 - our own text, above
