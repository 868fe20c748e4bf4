"""What the launcher starts: ``python -m atoll.operate.child server|supervisor|egress``, told everything over stdin.

Settings are made once, by the launcher, and arrive as data: a child reads no environment, no command line, no file.
"""

import os
import signal
import sys
from typing import Final

from atoll.operate.system_user import UserError, end_with_parent
from atoll.operate.task import read_task

EXIT_CANNOT_START: Final = 78  # sysexits' EX_CONFIG: starting again would end the same way


def main() -> None:
    """Run the role named on the command line until a signal ends it."""
    role = sys.argv[1]
    task = read_task(sys.stdin.buffer.read())
    try:
        end_with_parent(task.launcher_pid)
    except ProcessLookupError:
        return
    os.umask(0o022)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        if role == "supervisor":
            from atoll.operate.supervisor_process import run_supervisor  # noqa: PLC0415 - each role loads only its own

            run_supervisor(task.settings, task.user)
        elif role == "egress":
            from atoll.operate.egress_process import run_egress  # noqa: PLC0415 - each role loads only its own

            run_egress(task.settings, task.user, task.vault_key, task.launcher_pid)
        else:
            from atoll.operate.server_process import run_server  # noqa: PLC0415 - each role loads only its own

            run_server(task)
    except UserError as error:
        sys.stderr.write(f"atoll {role}: {error}\n")
        sys.exit(EXIT_CANNOT_START)


if __name__ == "__main__":
    main()
