"""A supervisor as a child process: ``python -m tests.supervisor_process JSON``, for tests that kill and restart it."""

import json
import logging
import sys
from pathlib import Path
from typing import Any, get_type_hints

from atoll.runtime.contract import SandboxSpec
from atoll.runtime.oci.settings import OciSettings
from atoll.supervisor.main import run, shutdown_all
from atoll.supervisor.settings import SupervisorSettings


def read_settings(text: str) -> SupervisorSettings:
    """Make the settings from a flat JSON object."""
    values: dict[str, Any] = json.loads(text)
    kinds = get_type_hints(OciSettings)
    own = {name: values.pop(name) for name in ("socket_path", "server_uid", "server_gid")}
    typed: dict[str, Any] = {name: Path(value) if kinds[name] is Path else value for name, value in values.items()}
    if typed.get("pool_spec") is not None:
        typed["pool_spec"] = SandboxSpec(**typed["pool_spec"])
    oci = OciSettings(**typed)
    return SupervisorSettings(oci=oci, **{**own, "socket_path": Path(own["socket_path"])})


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = read_settings(sys.argv[2])
    (shutdown_all if sys.argv[1] == "down" else run)(settings)
