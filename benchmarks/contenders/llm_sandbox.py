"""llm-sandbox with its bubblewrap back end: a Python library that starts a walled process for each call."""

import shutil
from typing import ClassVar

from benchmarks.contenders.contender import Facts
from benchmarks.contenders.driven import Driven


class LlmSandbox(Driven):
    """A session with its defaults, but on a Python that has pandas and without its installing anything."""

    name: ClassVar = "llm-sandbox, bubblewrap"
    module: ClassVar = "llm_sandbox"
    packages: ClassVar = ("bubblewrap", "libseccomp2")
    again: ClassVar = "a new Python in the session's folder"
    facts: ClassVar = Facts(
        walls="all namespaces, no capabilities, a seccomp list of forbidden calls; outside, the user is the one who "
        "started it (root here)",
        network="none",
        memory_limit="of each process's address space, when asked for; none here",
        state="files, until the session ends; every call is a new Python",
        files="copies in and out, in Python",
        expiry="after a time, when asked for",
        more="seven languages; the same code on Docker, Podman and Kubernetes; needs neither root nor a service",
    )

    def why_not(self) -> str | None:
        """Look for what its back end starts."""
        return None if shutil.which("bwrap") else "`bwrap` is not installed (Debian: bubblewrap)"
