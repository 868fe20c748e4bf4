"""What a server has answered for, kept by those who asked; shared by threads."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

ALIVE_MAX = 24
# A call that uses a container ends up to so much later than its client knows; expiry is looked for every five seconds.
_MARGIN_S = 20.0
# A second is promised; the rest is for a machine so busy that whole processes wait for it.
_FORGOTTEN_S_MAX = 3.0
_TOLD_MAX = 50


@dataclass(eq=False)
class Kept:
    """A container that was answered for.

    ``files`` maps names to the hashes of what must be there; of those in ``unsure`` nobody knows. ``is_doomed`` is one
    whose removal was asked for, ``is_gone`` one whose removal was answered. One that is ``is_left_alone`` is used no
    more and must expire; one that is ``is_aged`` was made to look so long unused that it has expired. ``used_at`` is
    the last use that was answered, ``touched_at`` the last that may have been one. ``told_active`` are the values of
    ``last_active_at`` that were answered, each with when it first was.
    """

    id: str
    minutes: int
    files: dict[str, str] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    is_doomed: bool = False
    is_gone: bool = False
    is_left_alone: bool = False
    is_aged: bool = False
    told_active: list[tuple[float, int]] = field(default_factory=list)
    used_at: float = field(default_factory=time.monotonic)
    touched_at: float = field(default_factory=time.monotonic)

    @property
    def may_be_expired(self) -> bool:
        """Whether it would be no wonder if it had expired by now."""
        return self.is_aged or time.monotonic() - self.used_at > 60 * self.minutes - _MARGIN_S

    @property
    def must_be_expired(self) -> bool:
        """Whether it would be one if it had not."""
        return self.is_aged or time.monotonic() - self.touched_at > 60 * self.minutes + _MARGIN_S


@dataclass(frozen=True)
class ProjectFile:
    """A file of ``/v1/files`` that was answered for."""

    id: str
    name: str
    digest: str


class Ledger:
    """Everything that was answered, and everything that should not have been."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.kept: dict[str, Kept] = {}
        self.project_files: list[ProjectFile] = []
        self.outcomes: Counter[str] = Counter()
        self.violations: list[str] = []
        self._numbers = iter(range(1 << 30))
        self._crashes: list[float] = []

    def number(self) -> int:
        """Give a number that was not given before."""
        with self.lock:
            return next(self._numbers)

    def count(self, outcome: str) -> None:
        """Count what came of something."""
        with self.lock:
            self.outcomes[outcome] += 1

    def blame(self, what: str) -> None:
        """Write down what should never be."""
        with self.lock:
            self.violations.append(what)

    def made(self, container: Kept) -> None:
        """A create was answered."""
        with self.lock:
            self.kept[container.id] = container

    def pick(self, chance: random.Random) -> Kept | None:
        """Choose a container that people still use; ``None`` while there is none."""
        with self.lock:
            usable = [one for one in self.kept.values() if not one.is_doomed and not one.is_left_alone]
            return chance.choice(usable) if usable else None

    def pick_project_file(self, chance: random.Random) -> ProjectFile | None:
        """Choose a file to be brought into a container; ``None`` while there is none."""
        with self.lock:
            return chance.choice(self.project_files) if self.project_files else None

    def alive(self) -> int:
        """Count those that may still hold something."""
        with self.lock:
            left = [one for one in self.kept.values() if not one.is_doomed]
            return sum(not (one.is_left_alone and one.may_be_expired) for one in left)

    def crashed(self) -> None:
        """The server is about to be ended without warning."""
        with self.lock:
            self._crashes.append(time.monotonic())

    def told_active(self, container_id: str, last_active_at: int) -> None:
        """Compare with what was said before: only uses of the last moment before a crash may be forgotten."""
        now = time.monotonic()
        with self.lock:
            container = self.kept.get(container_id)
            if container is None or container.is_aged:
                return
            for told_at, moment in container.told_active:
                age_s = min((crash - told_at for crash in self._crashes if crash > told_at), default=_FORGOTTEN_S_MAX)
                if last_active_at < moment and age_s >= _FORGOTTEN_S_MAX:
                    what = f"last_active_at of {container_id} fell by {moment - last_active_at} s"
                    self.violations.append(f"{what}, {age_s:.1f} s after it was told the server was ended")
            told = [(told_at, moment) for told_at, moment in container.told_active if moment < last_active_at]
            first = [(told_at, moment) for told_at, moment in container.told_active if moment == last_active_at]
            container.told_active = [*told[-_TOLD_MAX:], *(first or [(now, last_active_at)])]
