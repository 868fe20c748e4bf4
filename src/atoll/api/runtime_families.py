"""What the runtime counts, in Prometheus' terms."""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from atoll.model.runtime_metrics import DURATION_BOUNDS_S, Durations, RuntimeMetrics


class RuntimeFamilies(Collector):
    """Gives nothing while there is no ``current``: a runtime that counts nothing, or cannot be asked."""

    def __init__(self) -> None:
        self.current: RuntimeMetrics | None = None

    def collect(self) -> Iterator[Metric]:
        """Give what the last answer said."""
        if self.current is not None:
            yield from _sandboxes(self.current)
            yield from _durations(self.current)
            yield from _memory(self.current)
            yield from _limits(self.current)


def _sandboxes(now: RuntimeMetrics) -> Iterator[Metric]:
    yield _gauge(
        "atoll_sandboxes",
        "Sandboxes of containers, the pool's not among them.",
        "state",
        {"running": now.sandboxes_running, "stopped": now.sandboxes_stopped},
    )
    yield _gauge(
        "atoll_pool_sandboxes",
        "Sandboxes kept ready, and how many should be.",
        "which",
        {"ready": now.pool_ready, "target": now.pool_target},
    )
    creates = CounterMetricFamily(
        "atoll_pool_creates", "Creates that a ready sandbox fits, by whether there was one.", labels=("found",)
    )
    creates.add_metric(("yes",), now.pool_hits)
    creates.add_metric(("no",), now.pool_misses)
    yield creates
    yield GaugeMetricFamily("atoll_zygote_ready", "Whether agents can be forked now (1) or not (0).", now.zygote_ready)


def _durations(now: RuntimeMetrics) -> Iterator[Metric]:
    starts = HistogramMetricFamily(
        "atoll_sandbox_start_seconds",
        "Time to have a sandbox that somebody waits for, by how it was come by.",
        labels=("how",),
    )
    for how, durations in now.starts.items():
        starts.add_metric((how,), _buckets(durations), durations.sum_s)
    yield starts
    yield _histogram(
        "atoll_fork_seconds", "Time that the zygote and its fork take for one agent, without its walls.", now.forks
    )
    yield _histogram("atoll_pool_fill_seconds", "Time to make and warm a sandbox for the pool.", now.fills)


def _memory(now: RuntimeMetrics) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "atoll_memory_bytes", "Memory that all sandboxes hold, pool and zygote included.", now.memory_bytes
    )
    yield GaugeMetricFamily("atoll_memory_bytes_max", "What that may be at this moment.", now.memory_bytes_max)
    yield GaugeMetricFamily(
        "atoll_memory_promised_bytes", "Memory limits of the sandboxes that run.", now.memory_promised_bytes
    )
    yield GaugeMetricFamily(
        "atoll_memory_promised_bytes_max", "What may be promised of memory.", now.memory_promised_bytes_max
    )
    yield GaugeMetricFamily(
        "atoll_memory_free_bytes", "Memory that sandboxes could still be given.", now.memory_free_bytes
    )
    yield GaugeMetricFamily("atoll_disk_promised_bytes", "Limits of all sandboxes' disks.", now.disk_promised_bytes)
    yield GaugeMetricFamily("atoll_disk_free_bytes", "Room left under the sandboxes' disks.", now.disk_free_bytes)


def _limits(now: RuntimeMetrics) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "atoll_memory_kills", "Processes in sandboxes that the kernel ended for want of memory.", now.memory_kills
    )
    yield CounterMetricFamily(
        "atoll_pids_refused",
        "Processes and threads that a sandbox's limit of them kept from starting.",
        now.pids_refused,
    )


def _gauge(name: str, documentation: str, label: str, values: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=(label,))
    for value, count in values.items():
        family.add_metric((value,), count)
    return family


def _histogram(name: str, documentation: str, durations: Durations) -> Metric:
    return HistogramMetricFamily(name, documentation, _buckets(durations), durations.sum_s)


def _buckets(durations: Durations) -> list[tuple[str, int]]:
    """Give the text format's buckets, each of which counts those below it, too."""
    bounds = [*(str(float(bound)) for bound in DURATION_BOUNDS_S), "+Inf"]
    return list(zip(bounds, accumulate(durations.counts), strict=True))
