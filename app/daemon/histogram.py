"""Counts of measured times, by size: what Prometheus calls a histogram."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence


class Histogram:
    """How many values were at most each of `bounds`, which rise."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.total = 0.0
        self._counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        """One more value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Of all values."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, int]]:
        """Each bound as text, the last "+Inf", and how many values do not exceed it."""
        so_far, found = 0, []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self._counts, strict=True):
            so_far += count
            found.append((bound, so_far))
        return found


class Rate:
    """How many a second, over the last `window_s`."""

    def __init__(self, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._events: deque[list[float]] = deque()
        """Moment and amount."""
        self._sum = 0.0

    def add(self, now_s: float, amount: int) -> None:
        """So many, now; what comes within 50 ms is kept as one."""
        self._sum += amount
        if self._events and now_s - self._events[-1][0] < 0.05:
            self._events[-1][1] += amount
        else:
            self._events.append([now_s, amount])
            self._forget(now_s)

    def per_s(self, now_s: float) -> float:
        """Since the first of the window, a second at least."""
        self._forget(now_s)
        if not self._events:
            return 0.0
        return self._sum / max(now_s - self._events[0][0], 1.0)

    def _forget(self, now_s: float) -> None:
        while self._events and now_s - self._events[0][0] > self._window_s:
            self._sum -= self._events.popleft()[1]
