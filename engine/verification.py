"""From a step's logits to tokens: drafts verified row by row, grammars followed, prompts scored."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.plan import SampledTokens, ScheduledSequence
from engine.request import TokenLogprob
from engine.sampler import Logits, sample, token_logprob
from models.errors import UserError

Mask = NDArray[np.bool_]


class Matcher(Protocol):
    """Follows one output through its grammar (`engine.text.grammar`)."""

    @property
    def is_finished(self) -> bool:
        """Nothing more may follow."""

    def allowed(self) -> Mask:
        """Which tokens may come next, [V]."""

    def accept(self, token_id: int) -> None:
        """The token that came."""


def first_masks(
    scheduled: tuple[ScheduledSequence, ...], matchers: Mapping[str, Matcher]
) -> dict[str, Mask | UserError]:
    """What may come first in each sequence under a grammar, while the logits are computed."""
    masks: dict[str, Mask | UserError] = {}
    for item in scheduled:
        request_id = item.sequence.request.id
        if item.samples and request_id in matchers:
            try:
                masks[request_id] = matchers[request_id].allowed()
            except UserError as error:  # a grammar that cannot go on is one request's trouble
                masks[request_id] = error
    return masks


def choose_tokens(
    scheduled: tuple[ScheduledSequence, ...],
    logits: Logits,
    matchers: Mapping[str, Matcher],
    masks: Mapping[str, Mask | UserError],
) -> dict[str, SampledTokens]:
    """What the step's logits [R, V] mean, by request id."""
    chosen, row = {}, 0
    for item in scheduled:
        rows = logits[row : row + item.num_logit_rows]
        row += item.num_logit_rows
        if not len(rows):
            continue
        request_id = item.sequence.request.id
        num_sampled = 1 + len(item.draft_token_ids) if item.samples else 0
        mask = masks.get(request_id)
        try:
            if isinstance(mask, UserError):
                raise mask
            sampled = _verify(item, rows[len(rows) - num_sampled :], matchers.get(request_id), mask)
        except UserError as error:
            sampled = SampledTokens((), error=error)
        chosen[request_id] = replace(sampled, prompt_logprobs=_score_prompt(item, rows))
    return chosen


def _verify(
    item: ScheduledSequence, rows: Logits, matcher: Matcher | None, mask: Mask | None
) -> SampledTokens:
    """Sample row by row for as long as the drafts agree with what is sampled."""
    sequence, params = item.sequence, item.sequence.request.sampling
    known, token_ids, logprobs = list(sequence.token_ids), list[int](), list[TokenLogprob]()
    for i, row in enumerate(rows):
        if matcher is not None and mask is None:
            mask = matcher.allowed()
        allowed = row if mask is None else np.where(mask, row, -np.inf)
        token_id = sample(allowed, params, known, sequence.seed, sequence.num_seen_tokens + i)
        known.append(token_id)
        token_ids.append(token_id)
        if params.num_logprobs is not None:
            logprobs.append(token_logprob(row, token_id, params.num_logprobs))
        if matcher is not None:
            matcher.accept(token_id)
            mask = None
            if matcher.is_finished:
                break
        if i == len(item.draft_token_ids) or token_id != item.draft_token_ids[i]:
            break
    finished = matcher is not None and matcher.is_finished
    return SampledTokens(tuple(token_ids), tuple(logprobs), finished)


def _score_prompt(item: ScheduledSequence, rows: Logits) -> tuple[TokenLogprob, ...]:
    """Log-probabilities of the prompt's tokens that follow `rows`, each given once."""
    sequence, number = item.sequence, item.sequence.request.num_prompt_logprobs
    if number is None:
        return ()
    positions = range(item.start + 1, item.start + 1 + len(rows))
    return tuple(
        token_logprob(row, sequence.token_ids[position], number)
        for row, position in zip(rows, positions, strict=True)
        if sequence.num_scored_tokens <= position < sequence.num_prompt_tokens
    )
