"""What a step costs on this machine, measured: seconds by its number of rows."""

from bisect import bisect_left, insort
from collections import deque
from statistics import median

NUM_KEPT = 9
"""Measurements a row count; the oldest is replaced, because contexts grow."""

NUM_NEEDED = 3
"""Measurements before a row count is believed: one may have met another program."""

_MAX_GROWTH = 4
"""How many times the rows of a known step the next unknown one may have."""


class StepCost:
    """Medians of what was measured, straight lines between them.

    Beyond the largest count that is believed the line goes on as it did; before there are two,
    more rows are thought to cost nothing, so that they are tried, but not too many at once.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, deque[float]] = {}
        self._medians: dict[int, float] = {}
        self._counts: list[int] = []

    def observe(self, num_rows: int, seconds: float) -> None:
        """A step of so many rows took so long."""
        measured = self._seconds.setdefault(num_rows, deque(maxlen=NUM_KEPT))
        measured.append(seconds)
        if len(measured) >= NUM_NEEDED:
            if num_rows not in self._medians:
                insort(self._counts, num_rows)
            self._medians[num_rows] = median(measured)

    @property
    def max_rows(self) -> int:
        """Rows that a step may be tried with."""
        return _MAX_GROWTH * (self._counts[-1] if self._counts else 1)

    def estimate_s(self, num_rows: int) -> float:
        """Seconds of a step; 0 while nothing is known."""
        counts = self._counts
        if not counts:
            return 0.0
        place = bisect_left(counts, num_rows)
        if place < len(counts) and counts[place] == num_rows:
            return self._medians[num_rows]
        if place == 0 or len(counts) == 1:
            return self._medians[counts[0]]
        low, high = counts[min(place, len(counts) - 1) - 1 :][:2]
        slope = max(self._medians[high] - self._medians[low], 0.0) / (high - low)
        return self._medians[low] + slope * (num_rows - low)
