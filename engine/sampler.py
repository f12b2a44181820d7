"""From logits to token ids, one row at a time, on the host.

Randomness is a function of the request's seed and the token's position, nothing else: the same
seed gives the same text alone or in a batch, with a warm or a cold cache, with drafts or without.
A draft is accepted when it equals the token sampled in its place, which leaves the distribution
exactly the target's: for a draft without a distribution of its own, rejection sampling (Leviathan
et al. 2023) accepts it with the target's probability of that token, and so does equality.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from engine.request import SamplingParams, TokenLogprob

Logits = NDArray[np.float32]


def sample(
    logits: Logits, params: SamplingParams, token_ids: list[int], seed: int, position: int
) -> int:
    """The token for `position`, given its logits [V]; refused tokens have -inf there.

    The order is llama.cpp's: penalties, top_k, typical_p, top_p, min_p, temperature.
    """
    logits = _with_penalties(logits, params, token_ids)
    if params.temperature == 0 or params.top_k == 1:
        return int(logits.argmax())
    candidates = _top_candidates(logits, params.top_k)
    scores = logits[candidates].astype(np.float64)
    keep = _kept(scores, params)
    candidates, scores = candidates[keep], scores[keep]
    weights = np.cumsum(_softmax(scores / params.temperature))
    drawn = uniform(seed, position) * weights[-1]
    return int(candidates[min(np.searchsorted(weights, drawn, side="right"), len(weights) - 1)])


def uniform(seed: int, position: int) -> float:
    """A number in [0, 1) from a counter-based generator (Salmon et al. 2011)."""
    bits = np.random.Philox(key=seed % 2**64, counter=position).random_raw()
    return float(bits >> 11) * 2.0**-53


def token_logprob(logits: Logits, token_id: int, num_alternatives: int) -> TokenLogprob:
    """Log-probabilities under the model itself, before penalties and temperature."""
    scores = logits.astype(np.float64)
    top = float(scores.max())
    log_total = top + float(np.log(np.exp(scores - top).sum()))
    best = _top_candidates(logits, num_alternatives) if num_alternatives else ()
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
        logits[token_id] += bias
    return logits


def _top_candidates(logits: Logits, top_k: int) -> NDArray[np.int64]:
    """Token ids by falling logit; equal ones by id, so that the order is one only."""
    if 0 < top_k < len(logits):
        threshold = np.partition(logits, -top_k)[-top_k]
        chosen = np.flatnonzero(logits >= threshold)
    else:
        chosen = np.flatnonzero(logits > -np.inf)
    order = np.argsort(-logits[chosen], kind="stable")
    chosen = chosen[order]
    return chosen[:top_k] if top_k else chosen


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
