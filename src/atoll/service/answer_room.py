"""Room in the server's memory for what calls put out, from its arrival until the answer is sent: one budget over all.

The first bytes of every call are free, so that calls with little output never wait for those with much. What is more is
asked for before it is read from the sandbox, which then waits too. Answers that grow side by side could each come to
wait for the others' end: the one that has been large for longest can therefore always go on to the largest size that an
answer may have. Who waits all the same is given up after a while.
"""

import asyncio
from typing import Final

from atoll.agent.client import IMAGES_BYTES_MAX
from atoll.model.errors import AtollError

FREE_BYTES: Final = 64 * 1024
WAIT_S: Final = 10.0


def one_answer_bytes_max(output_bytes_max: int) -> int:
    """Give about what one answer can come to: all of its text, and all of its images in Base64."""
    return output_bytes_max + IMAGES_BYTES_MAX * 4 // 3


class NoAnswerRoomError(AtollError):
    """A call's output found no room; the call is given up."""

    def __init__(self) -> None:
        super().__init__("The server holds as much output of calls as it may.")


class AnswerRoom:
    """``one_answer_bytes_max`` is about what one answer can come to."""

    def __init__(self, bytes_max: int, one_answer_bytes_max: int, *, wait_s: float = WAIT_S) -> None:
        self._bytes_max = bytes_max
        self._one_answer_bytes_max = one_answer_bytes_max
        self._wait_s = wait_s
        self._taken_bytes = 0
        self._charged: dict[Share, int] = {}  # in the order in which they became large
        self._waiting: dict[Share, tuple[int, asyncio.Future[None]]] = {}

    @property
    def taken_bytes(self) -> int:
        """What all answers hold now, without the free bytes of each."""
        return self._taken_bytes

    def share(self) -> "Share":
        """Give a place for one answer, to be let go of by its ``release``."""
        return Share(self)

    def charged(self, share: "Share") -> int:
        """Give what a share has of the room."""
        return self._charged.get(share, 0)

    async def reserve(self, share: "Share", more: int) -> None:
        """Give a share more room once there is some. Raises ``NoAnswerRoomError``."""
        if self._fits(share, more):
            self.charge(share, more)
            return
        granted = asyncio.get_running_loop().create_future()
        self._waiting[share] = more, granted
        try:
            async with asyncio.timeout(self._wait_s):
                await granted
        except TimeoutError:
            raise NoAnswerRoomError from None
        finally:
            self._waiting.pop(share, None)

    def charge(self, share: "Share", more: int) -> None:
        """Give a share more room, whether there is any or not."""
        self._charged[share] = self.charged(share) + more
        self._taken_bytes += more

    def release(self, share: "Share") -> None:
        """Take back all that a share has. May be repeated."""
        self._taken_bytes -= self._charged.pop(share, 0)
        for waiting, (more, granted) in tuple(self._waiting.items()):
            if self._fits(waiting, more) and not granted.done():
                self.charge(waiting, more)
                granted.set_result(None)

    def _fits(self, share: "Share", more: int) -> bool:
        spare = self._bytes_max - self._taken_bytes
        oldest = next(iter(self._charged), share)
        if oldest is not share:
            spare -= max(0, self._one_answer_bytes_max - self.charged(oldest))
        return more <= spare


class Share:
    """What one answer holds."""

    def __init__(self, room: AnswerRoom) -> None:
        self._room = room
        self._taken_bytes = 0

    async def take(self, size: int) -> None:
        """Make room for bytes that arrive, waiting while there is none. Raises ``NoAnswerRoomError``."""
        self._taken_bytes += size
        more = self._missing(self._taken_bytes)
        if more > 0:
            await self._room.reserve(self, more)

    def hold(self, size: int) -> None:
        """Note that the answer holds ``size`` bytes by now: it may be more than arrived, as text with escapes is."""
        self._taken_bytes = max(self._taken_bytes, size)
        more = self._missing(self._taken_bytes)
        if more > 0:
            self._room.charge(self, more)

    def release(self) -> None:
        """Let go of everything: the answer is sent, or given up. May be repeated."""
        self._room.release(self)

    def _missing(self, size: int) -> int:
        if size <= FREE_BYTES:
            return 0
        return size - FREE_BYTES - self._room.charged(self)
