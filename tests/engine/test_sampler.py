"""Sampling over vocabularies small enough to see the answer."""

import numpy as np
import pytest

from engine.request import SamplingParams
from engine.sampler import gumbel_noise, sample, token_logprob

LOGITS = np.array([0.0, 1.0, 2.0, 3.0], np.float32)


def draw(params: SamplingParams, number: int = 4000, logits: np.ndarray = LOGITS) -> np.ndarray:
    ids = [sample(logits, params, [], seed=1, position=p) for p in range(number)]
    return np.bincount(ids, minlength=len(logits)) / number


def params(**changes: float) -> SamplingParams:
    plain = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
    return SamplingParams(**{**plain, **changes})  # type: ignore[arg-type]


def test_temperature_zero_takes_the_most_likely() -> None:
    assert sample(LOGITS, SamplingParams(temperature=0), [], 0, 0) == 3


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_follow_the_softmax(temperature: float) -> None:
    expected = np.exp(LOGITS / temperature) / np.exp(LOGITS / temperature).sum()
    counts = draw(params(temperature=temperature)) * 4000
    chi_square = float(((counts - expected * 4000) ** 2 / (expected * 4000)).sum())
    assert chi_square < 16.3, "1 in 1000 for three degrees of freedom"


def test_top_k_leaves_the_k_best() -> None:
    assert (draw(params(top_k=2)) > 0).tolist() == [False, False, True, True]


def test_top_p_leaves_the_smallest_set_that_reaches_p() -> None:
    assert (draw(params(top_p=0.7)) > 0).tolist() == [False, False, True, True]
    assert (draw(params(top_p=0.0)) > 0).tolist() == [False, False, False, True]


def test_min_p_is_relative_to_the_best() -> None:
    assert (draw(params(min_p=0.2)) > 0).tolist() == [False, False, True, True]


def test_typical_p_drops_what_surprises_too_little_or_too_much() -> None:
    assert (draw(params(typical_p=0.2)) > 0).sum() == 1


def test_penalties_reach_back_as_far_as_their_window() -> None:
    greedy = SamplingParams(temperature=0, repeat_penalty=2.0, penalty_window=2)
    assert sample(LOGITS, greedy, [3, 0, 3], 0, 0) == 2
    assert sample(LOGITS, greedy, [3, 0, 0], 0, 0) == 3
    frequent = SamplingParams(temperature=0, frequency_penalty=0.6)
    assert sample(LOGITS, frequent, [3], 0, 0) == 3
    assert sample(LOGITS, frequent, [3, 3], 0, 0) == 2


def test_logit_bias_forces_and_forbids() -> None:
    forced = SamplingParams(temperature=0, logit_bias={0: 100.0})
    assert sample(LOGITS, forced, [], 0, 0) == 0


def test_refused_tokens_are_never_drawn() -> None:
    logits = np.array([1.0, -np.inf, 2.0, -np.inf], np.float32)
    assert (draw(params(), logits=logits) > 0).tolist() == [True, False, True, False]


def test_randomness_depends_on_seed_place_and_token_only() -> None:
    ids = np.arange(50)
    draws = np.array([[gumbel_noise(s, p, ids) for s in range(20)] for p in range(20)])
    assert len(np.unique(draws)) == draws.size
    assert (gumbel_noise(7, 3, ids)[::-1] == gumbel_noise(7, 3, ids[::-1])).all()
    assert abs(draws.mean() - np.euler_gamma) < 0.05
    assert abs(draws.var() - np.pi**2 / 6) < 0.1


def test_two_models_that_draw_with_the_same_noise_mostly_draw_the_same_token() -> None:
    other = LOGITS + np.array([0.5, -0.5, 0.3, -0.3], np.float32)
    plain = params()
    same = sum(
        sample(LOGITS, plain, [], 1, p) == sample(other, plain, [], 1, p) for p in range(4000)
    )
    p, q = (np.exp(each) / np.exp(each).sum() for each in (LOGITS, other))
    distance = float(abs(p - q).sum() / 2)
    assert same / 4000 > (1 - distance) / (1 + distance)


def test_logprobs_are_the_models_own() -> None:
    found = token_logprob(LOGITS, 1, 2)
    assert np.isclose(np.exp(found.logprob), np.exp(1) / np.exp(LOGITS).sum())
    assert [token_id for token_id, _ in found.alternatives] == [3, 2]
