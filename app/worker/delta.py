"""Writes what some tokens added to an answer as an event of the protocol."""

from collections.abc import Sequence

from app.protocol import Delta, Json
from engine.request import TokenLogprob
from engine.text.text_stream import TextDelta
from engine.tokenizer import Tokenizer


def make_delta(
    tokenizer: Tokenizer,
    request_id: str,
    token_ids: Sequence[int],
    delta: TextDelta,
    logprobs: Sequence[TokenLogprob],
) -> Delta:
    """The event; log-probabilities of tokens that were not used are left out."""
    return Delta(
        request_id,
        token_ids,
        delta.content,
        delta.thinking,
        [{"name": call.name, "arguments": call.arguments} for call in delta.tool_calls],
        [vars(part) for part in delta.call_parts],
        [make_logprob(tokenizer, each) for each in logprobs[: len(token_ids)]],
    )


def make_logprob(tokenizer: Tokenizer, chosen: TokenLogprob) -> Json:
    """One entry of `Delta.logprobs`."""
    found = _entry(tokenizer, chosen.token_id, chosen.logprob)
    if chosen.alternatives:
        found["top_logprobs"] = [_entry(tokenizer, *each) for each in chosen.alternatives]
    return found


def _entry(tokenizer: Tokenizer, token_id: int, logprob: float) -> Json:
    text = tokenizer.token_bytes(token_id)
    return {"token": text.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(text)}
