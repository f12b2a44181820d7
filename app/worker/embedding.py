"""Embeddings in the worker: texts cut to what fits, vectors packed for the way to the daemon."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from app.protocol import Embed, Embedded, Event, Failed, Progress
from app.worker.prompt import check_token_ids
from engine.embedding import Embedder, EmbedOutput
from engine.loading import LoadedModel
from models.errors import InvalidInput


@dataclass(frozen=True)
class Embedding:
    """Texts that are ready to be computed."""

    id: str
    texts: Sequence[Sequence[int]]


def prepare_embedding(model: LoadedModel, message: Embed) -> Embedding:
    """Encode the texts and cut them to the context, as Ollama does.

    Raises:
        InvalidInput: one is empty, or too long and not to be cut.
        Unsupported: the model does not give vectors.
    """
    assert model.embedder.pooling
    limit = model.engine.limits.max_context_tokens
    texts = [_encode(model, text) for text in message.texts]
    if any(len(text) > limit for text in texts) and not message.truncate:
        raise InvalidInput("the input length exceeds the context length")
    if not all(texts):
        raise InvalidInput("a text without tokens has no embedding")
    return Embedding(message.id, [_cut(model, text, limit) for text in texts])


def embed_step(embedder: Embedder) -> list[Event]:
    """One step, and what it means for the requests in it."""
    return [_event(output) for output in embedder.step()]


def _event(output: EmbedOutput) -> Event:
    request_id, num_tokens = output.request_id, output.num_computed_tokens
    if output.error is not None:
        return Failed.of(output.error, request_id)
    if output.vectors is None:
        return Progress(request_id, num_tokens)
    packed = [base64.b64encode(v.astype("<f4").tobytes()).decode() for v in output.vectors]
    return Embedded(request_id, packed, num_tokens)


def _encode(model: LoadedModel, text: str | Sequence[int]) -> list[int]:
    if isinstance(text, str):
        return model.tokenizer.encode(text, add_special=True)
    check_token_ids(text, model.tokenizer.vocab_size)
    return list(text)


def _cut(model: LoadedModel, text: list[int], limit: int) -> list[int]:
    """The first `limit` tokens; an end token that the model was trained with stays the last."""
    if len(text) <= limit:
        return text
    ends = text[-1:] if model.tokenizer.is_special(text[-1]) else []
    return text[: limit - len(ends)] + ends
