"""Text to token ids and back, by a model's own vocabulary."""

import uuid

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.daemon.answer import Asked
from app.daemon.answering import Answering
from app.daemon.encoder import Json
from app.daemon.fields import Fields
from app.daemon.openai.fields import DETOKENIZE, TOKENIZE
from app.daemon.reply import ResultReply
from app.daemon.state import read_body, state_of
from app.protocol import Detokenize, Detokenized, Tokenize, Tokenized
from models.errors import InvalidInput

router = APIRouter()


@router.post("/v1/tokenize")
async def tokenize(request: Request) -> Response:
    """Token ids of `prompt` (`content` and `text` are other servers' names for it)."""
    fields = Fields(await read_body(request), TOKENIZE)
    names = [name for name in ("prompt", "content", "text") if fields.has(name)]
    texts = [fields.text(name) for name in names]
    if not texts:
        raise InvalidInput("prompt is required")
    asked = Tokenize(
        uuid.uuid4().hex,
        texts[0],
        fields.flag("add_special_tokens", default=fields.flag("add_special", default=True)),
        fields.flag("with_pieces", default=False),
    )

    def write(answering: Answering) -> Json:
        result = answering.answers[asked.id].result
        assert isinstance(result, Tokenized)
        body: Json = {"tokens": result.token_ids, "count": len(result.token_ids)}
        ready = answering.worker.ready
        if ready is not None:
            body["max_model_len"] = ready.context_length
        texts = [bytes(piece).decode("utf-8", "replace") for piece in result.pieces]
        return body | ({"pieces": texts} if result.pieces else {})

    return ResultReply(_answering(request, fields, asked), write)


@router.post("/v1/detokenize")
async def detokenize(request: Request) -> Response:
    """The text of `tokens`."""
    fields = Fields(await read_body(request), DETOKENIZE)
    asked = Detokenize(uuid.uuid4().hex, fields.integers("tokens"))

    def write(answering: Answering) -> Json:
        result = answering.answers[asked.id].result
        assert isinstance(result, Detokenized)
        return {"prompt": result.text, "content": result.text}

    return ResultReply(_answering(request, fields, asked), write)


def _answering(request: Request, fields: Fields, asked: Asked) -> Answering:
    model = fields.text("model")
    if not model:
        raise InvalidInput("model is required")
    state = state_of(request)
    return state.answering(state.caller_of(request), state.catalog.find(model), [asked])
