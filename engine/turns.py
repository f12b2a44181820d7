"""Whose turn it is: fair queueing between clients, interactive requests before batch ones.

Every request gets one time, its turn, when it comes; the earliest turn goes first, in the queue,
in prefill and when memory runs out. The turn is when the request would be done if its client had
the machine at a modest speed for itself alone, one request after another (fair queueing, Demers et
al. 1989). So a client with many or long requests queues behind itself, not before others. A turn
is fixed and finite, and whoever comes after it has a later one: no request starves.
"""

import time
from collections.abc import Callable

from engine.request import Request

NOMINAL_TOKENS_S = 500.0
"""Speed of the imagined machine: between a small and a large model's prefill."""

ANSWER_TOKENS = 128
"""What an answer is taken for, whose length nobody knows."""

PRIORITY_STEP_S = 30.0
"""A request of priority n waits as if it had come n times this much later."""


class Turns:
    """Gives each request its turn. A client's priorities do not wait for each other."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._busy_until_s: dict[tuple[str, int], float] = {}

    def assign(self, request: Request) -> float:
        """The turn of a request that comes at this moment, in seconds of the clock."""
        now_s = self._clock()
        self._busy_until_s = {
            whose: until_s for whose, until_s in self._busy_until_s.items() if until_s > now_s
        }
        whose = (request.client, request.priority)
        cost_s = (len(request.prompt_token_ids) + ANSWER_TOKENS) / NOMINAL_TOKENS_S
        done_s = self._busy_until_s.get(whose, now_s) + cost_s
        self._busy_until_s[whose] = done_s
        return done_s + request.priority * PRIORITY_STEP_S
