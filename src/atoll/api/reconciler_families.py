"""How the reconcilers fare, in Prometheus' terms."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from atoll.model.reconciler_counts import ReconcilerCounts


class ReconcilerFamilies(Collector):
    """Gives ``counts`` as they stand when it is asked."""

    def __init__(self, counts: ReconcilerCounts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Give every reconciler that is known so far."""
        turns = CounterMetricFamily(
            "atoll_reconciler_turns", "Turns of the server's own housekeeping that ended well.", labels=("name",)
        )
        failures = CounterMetricFamily("atoll_reconciler_failures", "Turns of it that failed.", labels=("name",))
        for family, counts in ((turns, self._counts.turns), (failures, self._counts.failures)):
            for name, count in counts.items():
                family.add_metric((name,), count)
            yield family
