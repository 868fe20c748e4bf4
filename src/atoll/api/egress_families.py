"""What the egress process counts, in Prometheus' terms."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from atoll.model.egress_decision import EgressCounts


class EgressFamilies(Collector):
    """Gives nothing while there is no ``current``: no egress process, or one that cannot be asked."""

    def __init__(self) -> None:
        self.current: EgressCounts | None = None

    def collect(self) -> Iterator[Metric]:
        """Give what the last answer said."""
        now = self.current
        if now is None:
            return
        yield GaugeMetricFamily("atoll_egress_sandboxes", "Sandboxes that are let out.", now.sandboxes)
        yield GaugeMetricFamily(
            "atoll_egress_connections_open", "Connections of containers to the outside.", now.connections_open
        )
        decisions = CounterMetricFamily(
            "atoll_egress_decisions", "Connections and refused look-ups, by what became of them.", labels=("reason",)
        )
        for reason, count in now.decisions.items():
            decisions.add_metric((reason.value,), count)
        yield decisions
        size = CounterMetricFamily(
            "atoll_egress_bytes", "Bytes of connections that have ended, as containers see them.", labels=("direction",)
        )
        size.add_metric(("sent",), now.bytes_sent)
        size.add_metric(("received",), now.bytes_received)
        yield size
