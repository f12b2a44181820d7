"""Puts the engine's report on a prompt's prefix into words of the protocol."""

from collections.abc import Sequence

from app.protocol import Explain, Explained, Failed
from engine.loading import LoadedModel
from engine.prompt_history import PrefixReport
from models.errors import NotFound


def explain_prefix(model: LoadedModel, asked: Explain) -> Explained | Failed:
    """The report with its tokens as text; Failed where the request is not known here."""
    try:
        report = model.engine.explain_prefix(asked.request_id)
    except NotFound as error:
        return Failed.of(error, asked.id)
    return Explained(
        asked.id,
        report.request_id,
        report.cause,
        report.num_prompt_tokens,
        report.num_cached_tokens,
        report.num_shared_tokens,
        report.nearest_request_id,
        _text(model, report.shared_token_ids),
        _text(model, report.token_ids),
        _text(model, report.nearest_token_ids),
        *_first_tokens(model, report),
    )


def _first_tokens(model: LoadedModel, report: PrefixReport) -> tuple[str | None, str | None]:
    """The first token that differs, here and there; None where a prompt ends."""
    both = report.token_ids[:1], report.nearest_token_ids[:1]
    ours, theirs = (_text(model, token_ids) if token_ids else None for token_ids in both)
    return ours, theirs


def _text(model: LoadedModel, token_ids: Sequence[int]) -> str:
    """With the marks of the template, which decoding leaves out."""
    return b"".join(map(model.tokenizer.token_bytes, token_ids)).decode(errors="replace")
