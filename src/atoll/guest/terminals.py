"""All terminals of a sandbox: opened, found again, listed, closed."""

import errno
import functools
from typing import Any, Final

from atoll.guest.connection import Connection
from atoll.guest.fork_client import ForkClient
from atoll.guest.options import Options
from atoll.guest.protocol import FrameType
from atoll.guest.reactor import Reactor
from atoll.guest.requests import TerminalRequest
from atoll.guest.terminal import EndReason, Terminal

# More than this is refused whatever the host allows; each has a connection of its own, and those are few.
_TERMINALS_MAX: Final = 32
_TRIES: Final = 20
_TRY_AGAIN_S: Final = 0.05
_NO_ROOM: Final = frozenset({errno.EAGAIN, errno.ENOMEM})


class Terminals:
    """By their ids, in the order they were opened."""

    def __init__(self, reactor: Reactor, options: Options, forks: ForkClient) -> None:
        self._reactor = reactor
        self._options = options
        self._forks = forks
        self._terminals: dict[str, Terminal] = {}

    def open(self, request: TerminalRequest, connection: Connection, tries: int = _TRIES) -> None:
        """Start a shell in a new terminal and connect to it.

        Where there is no process left it tries again for a moment: those that were just ended still count. It does not
        end others for it, as is done for a call: somebody may only want to look.
        """
        if request.id in self._terminals:
            connection.fail("exists", "There is a terminal of that id already.")
            return
        most = min(request.terminals_max, _TERMINALS_MAX)
        if len(self._terminals) >= most:
            connection.fail("too_many", f"There are {most} terminals already.")
            return
        try:
            terminal = self._start(request)
        except OSError as error:
            if tries > 1 and error.errno in _NO_ROOM:
                again = functools.partial(self._open_again, request, connection, tries - 1)
                self._reactor.call_later(_TRY_AGAIN_S, again, lambda _error: connection.close())
            else:
                connection.fail("busy", f"The terminal could not be started: {error.strerror}.")
            return
        self._terminals[terminal.id] = terminal
        terminal.attach(connection, request.size, is_new=True)

    def attach(self, request: TerminalRequest, connection: Connection) -> None:
        """Connect to a terminal that is there."""
        terminal = self._terminals.get(request.id)
        if terminal is None:
            connection.fail("not_found", "There is no such terminal.")
        else:
            terminal.attach(connection, request.size, is_new=False)

    def list(self, connection: Connection) -> None:
        """Tell which there are."""
        connection.finish(FrameType.RESULT, {"terminals": [_as_json(one) for one in self._terminals.values()]})

    def close(self, terminal_id: str, connection: Connection) -> None:
        """End one; tell whether it was there."""
        terminal = self._terminals.get(terminal_id)
        if terminal is not None:
            terminal.close("closed")
        connection.finish(FrameType.RESULT, {"closed": terminal is not None})

    def close_all(self, reason: EndReason) -> None:
        """End all."""
        for terminal in list(self._terminals.values()):
            terminal.close(reason)

    def _open_again(self, request: TerminalRequest, connection: Connection, tries: int) -> None:
        if not connection.is_closed:
            self.open(request, connection, tries)

    def _start(self, request: TerminalRequest) -> Terminal:
        return Terminal(
            request.id,
            request.size,
            request.environment,
            options=self._options,
            forks=self._forks,
            reactor=self._reactor,
            on_end=lambda ended: self._terminals.pop(ended.id, None),
        )


def _as_json(terminal: Terminal) -> dict[str, Any]:
    return {
        "id": terminal.id,
        "columns": terminal.size.columns,
        "rows": terminal.size.rows,
        "attached": terminal.is_attached,
    }
