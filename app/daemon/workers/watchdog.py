"""Notices a worker that is stuck: one that is asked something and says nothing for too long."""

import asyncio
import time
from collections.abc import Callable

MAX_STEP_TOKENS = 512
"""A step never has more; a request whose prompt is not counted yet may have as many."""
TOKENS_PER_LIMIT = 64
"""So many tokens in a step give it as much time again."""
_CHECKS_PER_LIMIT = 8
_MAX_WAIT_S = 5.0


def step_limit_s(timeout_s: float, num_pending_tokens: int) -> float:
    """How long a step may take in which so many prompt tokens wait.

    >>> step_limit_s(60.0, 0), step_limit_s(60.0, 64), step_limit_s(60.0, 100_000)
    (60.0, 120.0, 540.0)
    """
    return timeout_s * (1 + min(num_pending_tokens, MAX_STEP_TOKENS) / TOKENS_PER_LIMIT)


class Watchdog:
    """Every step of a busy worker says something, so silence is a step that does not end.

    `count_pending` gives the prompt tokens that wait, None when nothing is asked; `bite` ends the
    worker and is told why.
    """

    def __init__(
        self,
        timeout_s: float,
        count_pending: Callable[[], int | None],
        bite: Callable[[str], None],
    ) -> None:
        self._timeout_s = timeout_s
        self._count_pending = count_pending
        self._bite = bite
        self._heard_s = time.monotonic()
        self._wait_s = min(timeout_s / _CHECKS_PER_LIMIT, _MAX_WAIT_S)
        self._timer: asyncio.TimerHandle | None = None
        if timeout_s < float("inf"):
            self._wait(self._heard_s)

    def hear(self) -> None:
        """The worker said something, or is asked the first thing after a pause."""
        self._heard_s = time.monotonic()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, now_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._wait_s, self._check, now_s)

    def _check(self, last_check_s: float) -> None:
        now_s = time.monotonic()
        num_pending = self._count_pending()
        was_stopped_ourselves = now_s - last_check_s > self._wait_s + 1.0
        if num_pending is None or was_stopped_ourselves:
            self._heard_s = now_s
        elif now_s - self._heard_s > (limit_s := step_limit_s(self._timeout_s, num_pending)):
            self._bite(f"stuck: a step took longer than {limit_s:g} s")
            return
        self._wait(now_s)
