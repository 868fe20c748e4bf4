"""Runs every script that a promise names, one after another, and writes the pages anew.

    python -m benchmarks.all

Takes about a quarter of an hour. The machine should do nothing else meanwhile: how busy it was before each script is
part of its result. Needs root and the default image; ``scripts/bench`` sees to both.
"""

import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from benchmarks import specification
from benchmarks.arguments import arguments
from benchmarks.promises import PROMISES
from benchmarks.report import RESULTS

REST_S: Final = 5.0  # between scripts, for what a server leaves to the kernel to tidy up


def main() -> None:
    """Run all of them; the exit code is 1 when a run failed or a promise is not kept."""
    options = arguments(__doc__).parse_args()
    failed = run_all(scripts(), ["--results", str(options.results)])
    if options.results == RESULTS:
        specification.main()
    verdicts = specification.newest_verdicts(folder=options.results)
    print(f"{sum(verdict.is_reached for verdict in verdicts)} of {len(verdicts)} promises are kept")
    if failed:
        print(f"failed: {', '.join(failed)}")
    sys.exit(1 if failed or not all(verdict.is_reached for verdict in verdicts) else 0)


def scripts() -> list[str]:
    """Give every script once, in the order of the promises."""
    return list(dict.fromkeys(promise.script for promise in PROMISES))


def run_all(names: Sequence[str], options: Sequence[str]) -> list[str]:
    """Run scripts one after another; give those that failed."""
    failed = []
    for name in names:
        print(f"\n== {name}", flush=True)
        began = time.monotonic()
        code = _run([sys.executable, "-m", f"benchmarks.{name}", *options])
        print(f"   ({time.monotonic() - began:.0f} s)", flush=True)
        if code:
            failed.append(name)
        time.sleep(REST_S)
    return failed


def _run(command: Sequence[str]) -> int:
    """Run a script to its end; where this process is to end, wait until the script has ended what it had started."""
    script = subprocess.Popen(command)
    try:
        return script.wait()
    except SystemExit:  # by SIGTERM, which may have come to this process alone
        script.terminate()
        raise
    finally:
        script.wait()


if __name__ == "__main__":
    main()
