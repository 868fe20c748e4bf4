"""Who is compared, in the order of the table."""

from collections.abc import Sequence

from benchmarks.contenders.atoll import AtollCold, AtollWarm
from benchmarks.contenders.bubblewrap import Bubblewrap
from benchmarks.contenders.contender import Contender
from benchmarks.contenders.docker import Docker
from benchmarks.contenders.fresh_process import FreshProcess
from benchmarks.contenders.kernel_gateway import KernelGateway
from benchmarks.contenders.llm_sandbox import LlmSandbox
from benchmarks.contenders.oci_runtime import Crun, Runc, Runsc
from benchmarks.contenders.place import Place

FIELD: dict[str, type[Contender]] = {
    "atoll": AtollWarm,
    "atoll-empty": AtollCold,
    "process": FreshProcess,
    "bubblewrap": Bubblewrap,
    "runc": Runc,
    "crun": Crun,
    "runsc": Runsc,
    "docker": Docker,
    "kernel-gateway": KernelGateway,
    "llm-sandbox": LlmSandbox,
}


def pick(only: Sequence[str], without: Sequence[str]) -> list[type[Contender]]:
    """Give those that are asked for: all, or ``only`` some, but not those ``without``. Raises ``ValueError``."""
    unknown = {*only, *without} - FIELD.keys()
    if unknown:
        raise ValueError(f"there is no {', '.join(sorted(unknown))}; there is {', '.join(FIELD)}")
    return [kind for word, kind in FIELD.items() if (not only or word in only) and word not in without]


def made(kinds: Sequence[type[Contender]], place: Place) -> list[Contender]:
    """Make contenders; nothing is started."""
    makers: Sequence[type] = kinds  # each takes the place, and nothing else
    return [maker(place) for maker in makers]


def packages(kinds: Sequence[type[Contender]]) -> list[str]:
    """Give the Debian packages that they need, each once."""
    return list(dict.fromkeys(package for kind in kinds for package in kind.packages))
