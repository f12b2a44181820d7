"""Bodies of the embedding and rerank routes, to what a worker is asked. Pure."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.daemon.fields import Fields, Json
from app.daemon.ollama.fields import EMBED, OLDER_EMBED
from app.daemon.ollama.requests import parse_keep_alive_field, parse_model_field
from app.daemon.openai.fields import EMBEDDINGS, RERANK
from app.protocol import Embed
from models.errors import InvalidInput

Texts = Sequence[str | Sequence[int]]


@dataclass(frozen=True)
class EmbedRequest:
    """Texts to be made vectors, and how those are shown."""

    model: str
    texts: Texts
    keep_alive_s: float | None = None
    dimensions: int | None = None
    truncate: bool = True
    as_base64: bool = False

    @property
    def embed(self) -> Embed:
        """What a worker is asked."""
        return Embed(uuid.uuid4().hex, self.texts, self.truncate)


@dataclass(frozen=True)
class RerankRequest:
    """Documents to be put in order by how well they answer a query."""

    model: str
    query: str
    documents: Sequence[str]
    num_results: int
    with_documents: bool

    @property
    def embed(self) -> Embed:
        """What a worker is asked: the query's vector comes first."""
        return Embed(uuid.uuid4().hex, [self.query, *self.documents])


def parse_embed(body: Json) -> EmbedRequest:
    """An `/api/embed` body.

    Raises:
        InvalidInput: in Ollama's words.
    """
    fields = Fields(body, EMBED)
    value = fields.any("input")
    texts = [] if value in (None, "") else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidInput("invalid input type")
    return EmbedRequest(
        model=parse_model_field(fields),
        texts=texts,
        keep_alive_s=parse_keep_alive_field(fields),
        dimensions=fields.integer("dimensions"),
        truncate=fields.flag("truncate", default=True),
    )


def parse_older_embed(body: Json) -> EmbedRequest:
    """An `/api/embeddings` body: one text."""
    fields = Fields(body, OLDER_EMBED)
    prompt = fields.text("prompt")
    return EmbedRequest(
        model=parse_model_field(fields),
        texts=[prompt] if prompt else [],
        keep_alive_s=parse_keep_alive_field(fields),
    )


def parse_openai_embed(body: Json) -> EmbedRequest:
    """A `/v1/embeddings` body: a string, token ids, or a list of either."""
    fields = Fields(body, EMBEDDINGS)
    encoding = fields.text("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise InvalidInput(f'encoding_format must be "float" or "base64", not "{encoding}"')
    dimensions = fields.integer("dimensions")
    if dimensions is not None and dimensions <= 0:
        raise InvalidInput(f"dimensions must be 1 or more, not {dimensions}")
    return EmbedRequest(
        model=_parse_model(fields),
        texts=_parse_texts(fields.any("input")),
        keep_alive_s=parse_keep_alive_field(fields),
        dimensions=dimensions,
        as_base64=encoding == "base64",
    )


def parse_rerank(body: Json) -> RerankRequest:
    """A `/v1/rerank` body, as Jina's and Cohere's clients send it."""
    fields = Fields(body, RERANK)
    documents = [_parse_document(each) for each in fields.array("documents")]
    query = fields.text("query")
    if not query or not documents:
        raise InvalidInput(f"{'documents' if query else 'query'} is required")
    num_results = fields.integer("top_n")
    if num_results is not None and num_results <= 0:
        raise InvalidInput(f"top_n must be 1 or more, not {num_results}")
    with_documents = fields.flag("return_documents", default=True)
    limit = len(documents) if num_results is None else num_results
    return RerankRequest(_parse_model(fields), query, documents, limit, with_documents)


def _parse_model(fields: Fields) -> str:
    model = fields.text("model")
    if not model:
        raise InvalidInput("model is required")
    return model


def _parse_texts(value: Any) -> Texts:
    given = [value] if isinstance(value, str) else value
    if isinstance(given, list) and given and all(map(_is_token_id, given)):
        given = [given]
    if not isinstance(given, list) or not given or not all(map(_is_text, given)):
        raise InvalidInput("input must be a string, an array of token ids, or an array of either")
    if not all(given):
        raise InvalidInput("input must not be empty")
    return given


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(map(_is_token_id, value)))


def _is_token_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _parse_document(value: Any) -> str:
    text = value.get("text") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        raise InvalidInput("documents must be strings, or objects with a text, and not empty")
    return text
