"""``atoll doctor``: what this machine lacks for Atoll, and what to do about it."""

import sys

from atoll.cli.arguments import AsJson, print_json
from atoll.cli.tables import print_table
from atoll.operate.diagnosis import Machine, Verdict, diagnose
from atoll.operate.settings_options import with_settings
from atoll.settings import Loaded


@with_settings()
def doctor(loaded: Loaded, *, as_json: AsJson = False) -> None:
    """Look over this machine: what is missing, and what to do. Changes nothing.

    The exit code is 1 when something keeps Atoll from working.
    """
    findings = list(diagnose(loaded.settings, Machine.this()))
    if as_json:
        print_json(
            [
                {"name": one.name, "verdict": one.verdict.value, "seen": one.seen, "remedy": one.remedy or None}
                for one in findings
            ]
        )
    else:
        print_table(("", "what", "seen", "what to do"), ((f.verdict.value, f.name, f.seen, f.remedy) for f in findings))
    if any(finding.verdict is Verdict.PROBLEM for finding in findings):
        sys.exit(1)
