"""A sandbox as the engine keeps it in memory."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

from atoll.runtime.contract import Sandbox, SandboxState
from atoll.runtime.oci.init_process import InitProcess
from atoll.runtime.oci.record import Record


@dataclass(slots=True)
class Run:
    """One life of a sandbox, from start to end; ``slot`` is its range of user ids, ``how`` it was started."""

    process: InitProcess
    slot: int
    how: Literal["cold", "forked"]


@dataclass(slots=True, eq=False)
class Box:
    """A sandbox. ``lock`` is held while it is brought up, ended or destroyed; reading needs none.

    ``is_made`` is false until create is done: until then nobody knows of it. ``is_pooled`` says that it waits for a
    create to be made somebody's own: its mark says so on disk, and nothing is promised to it. ``holds_memory`` says
    that its memory is promised. ``freeing`` is the tidying after its last run; it has to be over before the next.
    """

    record: Record
    is_made: bool = False
    is_pooled: bool = False
    is_destroyed: bool = False
    holds_memory: bool = False
    run: Run | None = None
    freeing: "Future[None] | None" = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_running(self) -> bool:
        """Whether its processes live, whoever has noticed yet that they do not."""
        run = self.run
        return run is not None and not run.process.has_ended

    @property
    def how(self) -> Literal["cold", "forked"]:
        """How its last life was started, as far as it still has one."""
        run = self.run
        return "cold" if run is None else run.how

    def sandbox(self) -> Sandbox:
        """Give what the contract tells of it."""
        state = SandboxState.RUNNING if self.is_running else SandboxState.STOPPED
        return Sandbox(id=self.record.id, state=state, created_at=self.record.created_at)
