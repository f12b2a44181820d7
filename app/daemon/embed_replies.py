"""What the embedding and rerank routes answer. Pure."""

import base64
import math
import struct
from collections.abc import Sequence

from app.daemon.embed_requests import EmbedRequest, RerankRequest
from app.daemon.encoder import Json, Times
from app.durations import nanoseconds
from app.protocol import Embedded

Vector = Sequence[float]


def unpack(packed: str) -> Vector:
    """The numbers of a vector that came from a worker."""
    data = base64.b64decode(packed)
    return struct.unpack(f"<{len(data) // 4}f", data)


def pack(vector: Vector) -> str:
    """As OpenAI's clients want it: base64 of little-endian float32."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def shorten(vector: Vector, dimensions: int | None = None) -> Vector:
    """The first `dimensions` numbers (all, when there are no more) as a vector of length one.

    >>> shorten([3.0, 0.0, 4.0]), shorten([3.0, 0.0, 4.0], 1)
    ([0.6, 0.0, 0.8], [1.0])
    """
    head = vector if dimensions is None or dimensions <= 0 else vector[:dimensions]
    length = math.sqrt(sum(x * x for x in head))
    return [x / length for x in head] if length else list(head)


def write_embed(asked: EmbedRequest, found: Embedded, times: Times) -> Json:
    """The body of `/api/embed`."""
    return {
        "model": asked.model,
        "embeddings": [shorten(unpack(each), asked.dimensions) for each in found.vectors],
        "total_duration": nanoseconds(times.total_s),
        "load_duration": nanoseconds(times.load_s),
        "prompt_eval_count": found.num_prompt_tokens,
    }


def write_older_embed(found: Embedded) -> Json:
    """The body of `/api/embeddings`, whose vector keeps its length."""
    return {"embedding": unpack(found.vectors[0])}


def write_openai_embed(asked: EmbedRequest, found: Embedded) -> Json:
    """The body of `/v1/embeddings`."""
    vectors = [shorten(unpack(each), asked.dimensions) for each in found.vectors]
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": pack(vector) if asked.as_base64 else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    return {"object": "list", "data": data, "model": asked.model, "usage": _usage(found)}


def write_rerank(asked: RerankRequest, found: Embedded) -> Json:
    """The body of `/v1/rerank`: the cosine between the query and each document, best first."""
    query, *documents = [shorten(unpack(each)) for each in found.vectors]
    scores = [sum(map(float.__mul__, query, document)) for document in documents]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: asked.num_results]
    results = [
        {"index": index, "relevance_score": scores[index]}
        | ({"document": {"text": asked.documents[index]}} if asked.with_documents else {})
        for index in order
    ]
    return {"object": "list", "model": asked.model, "results": results, "usage": _usage(found)}


def _usage(found: Embedded) -> Json:
    return {"prompt_tokens": found.num_prompt_tokens, "total_tokens": found.num_prompt_tokens}
