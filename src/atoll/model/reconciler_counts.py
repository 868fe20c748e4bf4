"""How the reconcilers fare, for whoever watches the server."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ReconcilerCounts:
    """Turns that ended well, and turns that failed, by the reconciler's name; they only grow."""

    turns: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
