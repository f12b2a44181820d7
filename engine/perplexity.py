"""How well a model predicts a text."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from engine.loading import LoadedModel
from engine.request import Request, SamplingParams
from models.errors import InvalidInput


@dataclass(frozen=True)
class Perplexity:
    """exp of the mean negative log-probability, with its standard error."""

    perplexity: float
    standard_error: float
    num_tokens: int
    """Tokens that were predicted."""
    num_windows: int


def measure_perplexity(
    model: LoadedModel,
    text: str,
    window_tokens: int,
    on_window: Callable[[Perplexity, int], None] = lambda _so_far, _num_windows: None,
) -> Perplexity:
    """Perplexity over windows of `window_tokens`, the second half of each predicted.

    The convention is llama.cpp's, so that figures can be compared: windows do not overlap, each
    begins with the start token where the model has one, and a rest that fills none is left out.

    Raises:
        InvalidInput: the text fills no window, or the window does not fit the model.
    """
    limit = model.engine.limits.max_context_tokens - 1
    if not 4 <= window_tokens <= limit:
        raise InvalidInput(
            f"the window must have between 4 and {limit} tokens, not {window_tokens}"
        )
    token_ids = model.tokenizer.encode(text, add_special=True)
    num_windows = len(token_ids) // window_tokens
    if not num_windows:
        raise InvalidInput(
            f"the text has {len(token_ids)} tokens, fewer than one window of {window_tokens}"
        )
    losses: list[float] = []
    starts = model.tokenizer.encode("", add_special=True)
    for i in range(num_windows):
        window = token_ids[i * window_tokens : (i + 1) * window_tokens]
        window[: len(starts)] = starts
        losses += _losses(model, tuple(window))[window_tokens // 2 - 1 :]
        on_window(_summary(losses, i + 1), num_windows)
    return _summary(losses, num_windows)


def _losses(model: LoadedModel, window: tuple[int, ...]) -> list[float]:
    """Negative log-probability of each token but the first."""
    sampling = SamplingParams(temperature=0, max_tokens=0)
    model.engine.add_request(Request("perplexity", window, sampling, num_prompt_logprobs=0))
    losses: list[float] = []
    while model.engine.has_unfinished:
        for output in model.engine.step():
            losses += [-scored.logprob for scored in output.prompt_logprobs]
    return losses


def _summary(losses: list[float], num_windows: int) -> Perplexity:
    number = len(losses)
    mean = math.fsum(losses) / number
    variance = math.fsum((loss - mean) ** 2 for loss in losses) / max(number - 1, 1)
    perplexity = math.exp(mean)
    error = perplexity * math.sqrt(variance / number)
    return Perplexity(perplexity, error, number, num_windows)
