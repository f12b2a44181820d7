"""From logits to token ids, one row at a time, on the host.

Randomness is a function of the request's seed, the token's place and the token itself, nothing
else: the same seed gives the same text alone or in a batch, with a warm or a cold cache, with
drafts or without.

The draw is by Gumbel's maximum: the candidate whose score plus noise is largest, which is exactly
a draw from the softmax. A draft model that draws with the same noise mostly draws the same token
(Daliri et al. 2025, "Coupling without communication and drafter-invariant speculative decoding"),
and a draft counts only when it equals the token that the target draws in its place. So the text
does not depend on drafts at all, which is more than the equality of distributions that rejection
sampling gives; acceptance is within a factor of two of what is possible.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from engine.request import SamplingParams, TokenLogprob

Logits = NDArray[np.float32]

_MAX_NOISE_SPAN = 41.0
"""Noise lies between -log(53 log 2) and 53 log 2: what is further below the best never wins."""


def sample(
    logits: Logits, params: SamplingParams, token_ids: list[int], seed: int, position: int
) -> int:
    """The token for `position`, given its logits [V]; refused tokens have -inf there.

    The order is llama.cpp's: penalties, top_k, typical_p, top_p, min_p, temperature.
    """
    logits = _with_penalties(logits, params, token_ids)
    if params.temperature == 0 or params.top_k == 1:
        return int(logits.argmax())
    candidates = _candidates(logits, params)
    scores = logits[candidates].astype(np.float64)
    if params.typical_p < 1 or params.top_p < 1 or params.min_p > 0:
        keep = _kept(scores, params)
        candidates, scores = candidates[keep], scores[keep]
    noise = gumbel_noise(seed, position, candidates)
    return int(candidates[(scores / params.temperature + noise).argmax()])


def gumbel_noise(seed: int, position: int, token_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Independent draws of the standard Gumbel distribution, one for each token at this place.

    The uniform bits behind them are SplitMix64 (Steele et al. 2014) over seed, place and token.
    """
    place = _mix(np.array([seed % 2**64], np.uint64)) + np.uint64(position)
    bits = _mix(_mix(place) + token_ids.astype(np.uint64))
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return np.asarray(-np.log(-np.log(uniform)), np.float64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def token_logprob(logits: Logits, token_id: int, num_alternatives: int) -> TokenLogprob:
    """Log-probabilities under the model itself, before penalties and temperature."""
    scores = logits.astype(np.float64)
    top = float(scores.max())
    log_total = top + float(np.log(np.exp(scores - top).sum()))
    best = _by_falling_logit(logits, num_alternatives) if num_alternatives else ()
    return TokenLogprob(
        token_id,
        float(scores[token_id]) - log_total,
        tuple((int(i), float(scores[i]) - log_total) for i in best),
    )


def _with_penalties(logits: Logits, params: SamplingParams, token_ids: list[int]) -> Logits:
    window = token_ids if params.penalty_window < 0 else token_ids[-params.penalty_window :]
    if params.penalty_window == 0 or not (
        params.repeat_penalty != 1 or params.presence_penalty or params.frequency_penalty
    ):
        window = []
    if not window and not params.logit_bias:
        return logits
    logits = logits.copy()
    counts = Counter(window)
    ids = np.fromiter(counts.keys(), np.int64, len(counts))
    seen = logits[ids]
    seen = np.where(seen > 0, seen / params.repeat_penalty, seen * params.repeat_penalty)
    times = np.fromiter(counts.values(), np.float32, len(counts))
    logits[ids] = seen - times * params.frequency_penalty - params.presence_penalty
    for token_id, bias in params.logit_bias.items():
        if token_id < len(logits):
            logits[token_id] += bias
    return logits


def _candidates(logits: Logits, params: SamplingParams) -> NDArray[np.int64]:
    """Ids of the tokens that may be drawn, in order where top_p or typical_p need one."""
    if params.top_k or params.top_p < 1 or params.typical_p < 1:
        return _by_falling_logit(logits, params.top_k)
    return np.flatnonzero(logits >= logits.max() - _MAX_NOISE_SPAN * params.temperature)


def _by_falling_logit(logits: Logits, number: int) -> NDArray[np.int64]:
    """The best `number` token ids, 0 for all; equal logits by id, so that the order is one only."""
    if 0 < number < len(logits):
        threshold = max(np.partition(logits, -number)[-number], np.finfo(np.float32).min)
        chosen = np.flatnonzero(logits >= threshold)
    else:
        chosen = np.flatnonzero(logits > -np.inf)
    order = np.argsort(-logits[chosen], kind="stable")
    chosen = chosen[order]
    return chosen[:number] if number else chosen


def _kept(scores: NDArray[np.float64], params: SamplingParams) -> NDArray[np.bool_]:
    """Which candidates (best first) typical_p, top_p and min_p leave; always the best one."""
    keep = np.ones(len(scores), bool)
    if params.typical_p < 1:
        keep &= _typical(_softmax(scores), params.typical_p)
    if params.top_p < 1:
        probabilities = _softmax(np.where(keep, scores, -np.inf))
        keep &= np.cumsum(probabilities) - probabilities < params.top_p
    if params.min_p > 0:
        keep &= scores >= scores[keep].max() + np.log(params.min_p)
    if not keep.any():
        keep[0] = True
    return keep


def _typical(probabilities: NDArray[np.float64], typical_p: float) -> NDArray[np.bool_]:
    """Locally typical sampling, Meister et al. 2022."""
    surprise = -np.log(np.maximum(probabilities, 1e-300))
    entropy = float((probabilities * surprise).sum())
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    num_kept = int(np.searchsorted(np.cumsum(probabilities[order]), typical_p)) + 1
    keep = np.zeros(len(probabilities), bool)
    keep[order[:num_kept]] = True
    return keep


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(scores - scores.max())
    return np.asarray(weights / weights.sum(), np.float64)
