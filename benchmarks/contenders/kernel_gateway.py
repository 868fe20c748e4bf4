"""Jupyter Kernel Gateway: living kernels over HTTP and WebSockets, the nearest to Atoll's calls, without walls."""

from typing import ClassVar

from benchmarks.contenders.contender import Facts
from benchmarks.contenders.driven import Driven


class KernelGateway(Driven):
    """A gateway of its own; a kernel for each session."""

    name: ClassVar = "Jupyter Kernel Gateway"
    module: ClassVar = "kernel_gateway"
    serves: ClassVar = True
    again: ClassVar = "the living kernel"
    facts: ClassVar = Facts(
        walls="none: kernels are processes of the gateway's user and see all its files",
        network="the host's",
        memory_limit="none",
        state="the living kernel",
        files="none: the gateway has no contents API",
        expiry="idle kernels are culled when asked for",
        more="kernels of many languages, widgets, completion: the whole Jupyter protocol",
    )

    def why_not(self) -> str | None:
        """Whether its packages can be had is seen when it is opened."""
        return None
