"""What the service counts, in Prometheus' format."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as MEDIA_TYPE

__all__ = ["MEDIA_TYPE", "Measures"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measures:
    """Counters of one service. Labels have few values: no name of an account or a unit is one."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "imprint_requests_total",
            "Requests by operation and HTTP status",
            ("operation", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "imprint_request_seconds",
            "Time from a request's last byte to its answer",
            ("operation",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.refusals = Counter(
            "imprint_refusals_total", "Refusals by the code of their rule", ("code",), registry=self._registry
        )

    def text(self) -> bytes:
        """All of them."""
        return generate_latest(self._registry)
