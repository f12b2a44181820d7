"""Why a prompt was not found in the cache: the prompts of late, and where each left the others.

Comparing is done when somebody asks, so that a record costs next to nothing.
"""

from array import array
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.sequence import Sequence
from models.errors import NotFound

MAX_PROMPTS = 256
MAX_TOKENS = 2_000_000
"""Of all prompts kept; four bytes each."""

Cause = Literal["reused", "first", "scored", "unfinished", "evicted"]
"""Why no more was reused. `reused`: all that is shared with an earlier prompt was; `first`: nothing
is shared with any; `scored`: log-probabilities of the whole prompt were wanted; `unfinished`: the
earlier prompt was not computed yet, or never to its end; `evicted`: its blocks were given away."""


@dataclass(frozen=True)
class PrefixReport:
    """How a prompt relates to the one before it that it shares most with."""

    request_id: str
    num_prompt_tokens: int
    num_cached_tokens: int
    cause: Cause
    nearest_request_id: str | None = None
    num_shared_tokens: int = 0
    shared_token_ids: tuple[int, ...] = ()
    """The last few of them."""
    token_ids: tuple[int, ...] = ()
    """What follows in this prompt, from the first differing token on."""
    nearest_token_ids: tuple[int, ...] = ()
    """What followed in the other."""


@dataclass
class _Prompt:
    request_id: str
    token_ids: "array[int]"
    is_scoring: bool
    num_cached_tokens: int = 0
    begun_s: float | None = None
    """When it was let in, and the cache asked."""
    known_s: float | None = None
    """When its last token was computed."""

    def update(self, sequence: Sequence) -> None:
        """Note how far the sequence has come."""
        self.num_cached_tokens = sequence.num_cached_tokens
        self.begun_s = sequence.first_scheduled_s
        self.known_s = sequence.first_token_s


class PromptHistory:
    """The last `MAX_PROMPTS` prompts of one engine."""

    def __init__(self) -> None:
        self._prompts: OrderedDict[str, _Prompt] = OrderedDict()
        self._unfinished: dict[str, Sequence] = {}
        self._num_tokens = 0

    def add(self, sequence: Sequence) -> None:
        """A request came; one that goes on under the same id counts once."""
        request = sequence.request
        if request.id in self._prompts:
            return
        token_ids = array("i", request.prompt_token_ids)
        self._prompts[request.id] = _Prompt(request.id, token_ids, sequence.is_scoring)
        self._unfinished[request.id] = sequence
        self._num_tokens += len(token_ids)
        while len(self._prompts) > MAX_PROMPTS or self._num_tokens > MAX_TOKENS:
            _, oldest = self._prompts.popitem(last=False)
            self._unfinished.pop(oldest.request_id, None)
            self._num_tokens -= len(oldest.token_ids)

    def finish(self, request_id: str) -> None:
        """The request has ended."""
        sequence = self._unfinished.pop(request_id, None)
        if sequence is not None:
            self._prompts[request_id].update(sequence)

    def explain(self, request_id: str, num_around: int = 12) -> PrefixReport:
        """What the request shares with an earlier one, with so many tokens before and after.

        Raises:
            NotFound: no such request, or too many came since.
        """
        for unfinished_id, sequence in self._unfinished.items():
            self._prompts[unfinished_id].update(sequence)
        prompt = self._prompts.get(request_id)
        if prompt is None:
            raise NotFound(
                f"no request '{request_id}' among the last {len(self._prompts)}",
                hint=f"the last {MAX_PROMPTS} requests of each loaded model are known",
            )
        nearest, num_shared = self._nearest(prompt)
        end = num_shared + num_around
        return PrefixReport(
            request_id,
            len(prompt.token_ids),
            prompt.num_cached_tokens,
            _cause(prompt, nearest, num_shared),
            nearest.request_id if nearest is not None else None,
            num_shared,
            tuple(prompt.token_ids[max(num_shared - num_around, 0) : num_shared]),
            tuple(prompt.token_ids[num_shared:end]),
            tuple(nearest.token_ids[num_shared:end]) if nearest is not None else (),
        )

    def _nearest(self, prompt: _Prompt) -> tuple[_Prompt | None, int]:
        """The prompt before this one that begins most like it; the latest of several."""
        best, most = None, 0
        for other in self._prompts.values():
            if other is prompt:
                break
            shared = _num_common(prompt.token_ids, other.token_ids)
            if shared and shared >= most:
                best, most = other, shared
        return best, most


def _num_common(a: "array[int]", b: "array[int]") -> int:
    length = min(len(a), len(b))
    differs = np.frombuffer(a, np.int32, length) != np.frombuffer(b, np.int32, length)
    return int(differs.argmax()) if differs.any() else length


def _cause(prompt: _Prompt, nearest: _Prompt | None, num_shared: int) -> Cause:
    if prompt.is_scoring:
        return "scored"
    if nearest is None:
        return "first"
    if prompt.num_cached_tokens >= min(num_shared, len(prompt.token_ids) - 1):
        return "reused"
    begun_s, known_s = prompt.begun_s, nearest.known_s
    was_known = begun_s is not None and known_s is not None and known_s <= begun_s
    return "evicted" if was_known else "unfinished"
