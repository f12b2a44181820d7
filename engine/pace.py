"""How much prefill goes beside decoding, so that streams are not slowed down by others' prompts."""

from engine.plan import SchedulerOutput

MAX_SLOWDOWN = 1.7
"""A step with prefill may take so many times what it takes without."""

MIN_ROWS = 6
"""Prefill goes on with so many, whatever they cost; behind thousands of tokens that decides."""

_SMOOTHING = 0.3


class PrefillPace:
    """Learns what a row of prefill adds to a step, and says how many fit."""

    def __init__(self, num_rows: int) -> None:
        """`num_rows`: the answer before anything is known."""
        self.num_rows = num_rows
        self._row_s = 0.0

    def learn(self, plan: SchedulerOutput, step_s: float, decode_s: float, max_rows: int) -> None:
        """A step took `step_s`; with its decoding sequences alone it had taken `decode_s`."""
        added = sum(item.num_scheduled_tokens for item in plan.scheduled if not item.is_decode)
        if not added or added == plan.num_rows or not decode_s:
            return
        row_s = max(step_s - decode_s, 0.0) / added
        self._row_s = row_s if not self._row_s else self._row_s + _SMOOTHING * (row_s - self._row_s)
        allowed = (MAX_SLOWDOWN - 1) * decode_s / max(self._row_s, 1e-9)
        self.num_rows = int(min(max(allowed, MIN_ROWS), max_rows))
