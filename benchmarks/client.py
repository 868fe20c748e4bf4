"""What benchmarks ask of a server beyond what `atoll bench` does."""

from typing import Any

from atoll.cli.bare_client import BareClient


class BenchmarkClient(BareClient):
    """Speaks JSON to an Atoll server; raises ``RuntimeError`` for any answer but a 2xx."""

    def health(self) -> Any:
        """Ask for ``GET /health``: the cheapest answer this server has, to hold others against."""
        return self.exchange_json("GET", "/health")

    def metrics(self) -> dict[str, float]:
        """Give what the server counts, by name and labels as they are written."""
        samples = (
            line.rpartition(" ") for line in self.exchange("GET", "/metrics").decode().splitlines() if line[:1] != "#"
        )
        return {name: float(value) for name, _, value in samples}
