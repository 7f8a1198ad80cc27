"""How often one account may ask: a bucket of tokens for each, so that one that floods leaves the others their share."""

from collections.abc import Callable
from typing import Final

RATE: Final = 500.0  # requests a second, for long
BURST: Final = 1000.0  # requests at once, after a rest
_MOST_BUCKETS: Final = 10_000


class Rates:
    """A bucket for each key. ``now`` gives seconds that only grow."""

    def __init__(self, now: Callable[[], float], *, rate: float = RATE, burst: float = BURST) -> None:
        self._now = now
        self._rate = rate
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str) -> float:
        """Take a token; 0, or the seconds until there will be one."""
        now = self._now()
        tokens, last = self._buckets.get(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - last) * self._rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self._rate
        if len(self._buckets) >= _MOST_BUCKETS and key not in self._buckets:
            self._buckets.clear()  # more than a service has accounts: forget, and begin again
        self._buckets[key] = (tokens if wait else tokens - 1, now)
        return wait
