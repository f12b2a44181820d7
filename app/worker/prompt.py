"""From what was asked to the prompt's tokens: template, start token, context."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.protocol import Generate
from engine.loading import LoadedModel
from engine.text.chat_template import ChatTemplate
from engine.text.context import (
    FittedConversation,
    Message,
    fit_conversation,
    num_first_tokens,
    shift_tokens,
)
from engine.text.fill_in_middle import encode_infill
from engine.text.template_loading import make_chat_template
from models.errors import InvalidInput
from models.name import full_name

_ANSWER_TOKENS = 128
"""Old turns are dropped until so many tokens are left for an answer whose length is not given."""


_MAX_SHIFTED_CONTEXTS = 10
"""An answer without an end is cut after so many contexts."""


@dataclass(frozen=True)
class Prompt:
    """The tokens, the rendered text they come from, and what was left out of it."""

    token_ids: tuple[int, ...]
    text: str
    num_dropped_messages: int = 0
    num_dropped_tokens: int = 0
    num_kept_tokens: int | None = None
    """The first part, which stays when the context is full; None: the answer ends there."""


def template_of(model: LoadedModel, asked: Generate) -> ChatTemplate:
    """The template of a request: its own, or the model's."""
    return model.chat_template if asked.template is None else make_chat_template(asked.template)


def make_prompt(model: LoadedModel, asked: Generate, max_context_tokens: int) -> Prompt:
    """The prompt of a request.

    Raises:
        InvalidInput: it does not leave room for one token, or the template refuses it.
    """
    if asked.messages is None:
        prompt = _verbatim(model, asked, max_context_tokens)
    else:
        prompt = _rendered(model, asked, asked.messages, max_context_tokens)
    if len(prompt.token_ids) >= max_context_tokens:
        raise InvalidInput(
            f"input length ({len(prompt.token_ids)} tokens) exceeds the model's maximum context"
            f" length ({max_context_tokens} tokens)",
            hint="shorten the prompt, or ask for a larger context (num_ctx)",
        )
    return prompt


def max_answer_tokens(asked: Generate, prompt: Prompt, max_context_tokens: int) -> int:
    """How long the answer may be: as asked, within the context unless that shifts."""
    room = max_context_tokens - len(prompt.token_ids)
    if prompt.num_kept_tokens is not None:
        room = _MAX_SHIFTED_CONTEXTS * max_context_tokens
    return min(asked.sampling.max_tokens or room, room)


def _verbatim(model: LoadedModel, asked: Generate, max_context_tokens: int) -> Prompt:
    given = asked.prompt_token_ids
    check_token_ids(given, model.tokenizer.vocab_size)
    if asked.suffix:
        infill = encode_infill(model.tokenizer, asked.prompt, asked.suffix)
        if infill is None:
            raise InvalidInput(f"{full_name(model.info.name)} does not support insert")
        return Prompt(tuple(infill), asked.prompt)
    encode = model.tokenizer.encode
    token_ids = [] if given and not asked.prompt else encode(asked.prompt, add_special=not given)
    whole = Prompt((*given, *token_ids), asked.prompt)
    num_first = len(encode("", add_special=True))
    return _shifted(asked, whole, num_first, max_context_tokens) if asked.shift else whole


def _shifted(asked: Generate, prompt: Prompt, num_first: int, max_context_tokens: int) -> Prompt:
    """With the end of the prompt behind its first part, if it does not fit whole."""
    num_kept = min(asked.num_kept_tokens or num_first, max_context_tokens // 2)
    token_ids = prompt.token_ids
    if len(token_ids) >= max_context_tokens:
        token_ids = shift_tokens(token_ids, num_kept, _roomy(asked, max_context_tokens))
    num_dropped = prompt.num_dropped_tokens + len(prompt.token_ids) - len(token_ids)
    return replace(
        prompt, token_ids=token_ids, num_dropped_tokens=num_dropped, num_kept_tokens=num_kept
    )


def _roomy(asked: Generate, max_context_tokens: int) -> int:
    """Tokens for a prompt that leaves room for an answer."""
    wanted = asked.sampling.max_tokens or _ANSWER_TOKENS
    return max_context_tokens - max(min(wanted, max_context_tokens // 8), 1)


def check_token_ids(token_ids: Sequence[int], vocab_size: int) -> None:
    """Raises InvalidInput when a client's token is none of the model's."""
    wrong = [token_id for token_id in token_ids if not 0 <= token_id < vocab_size]
    if wrong:
        raise InvalidInput(
            f"token {wrong[0]} does not exist",
            hint=f"the model's tokens have numbers below {vocab_size}",
        )


def _rendered(
    model: LoadedModel, asked: Generate, messages: Sequence[Message], max_context_tokens: int
) -> Prompt:
    texts: dict[int, str] = {}

    def encode(kept: Sequence[Message]) -> tuple[int, ...]:
        texts[len(kept)] = text = _render(model, asked, kept)
        return (*asked.prompt_token_ids, *_encode_rendered(model, asked, text))

    roomy = _roomy(asked, max_context_tokens)
    try:
        fitted = fit_conversation(messages, encode, roomy, may_drop=asked.truncate)
    except InvalidInput:
        if asked.shift:
            fitted = FittedConversation(encode(messages))
        else:
            fitted = fit_conversation(messages, encode, max_context_tokens, may_drop=False)
    text = texts[len(messages) - fitted.num_dropped_messages]
    num_dropped = fitted.num_dropped_messages, fitted.num_dropped_tokens
    prompt = Prompt(fitted.token_ids, text, *num_dropped)
    if not asked.shift:
        return prompt
    num_first = num_first_tokens(messages, encode)
    return _shifted(asked, prompt, num_first, max_context_tokens)


def _render(model: LoadedModel, asked: Generate, messages: Sequence[Message]) -> str:
    """The conversation as text; an assistant's last message is left open, to be continued."""
    last = messages[-1]
    is_open = last["role"] == "assistant" and not last.get("tool_calls")
    text = template_of(model, asked).render(
        [dict(message) for message in messages],
        tools=asked.tools,
        thinking=asked.think,
        add_generation_prompt=not is_open,
    )
    start = str(last.get("content") or "").strip()
    if is_open and start in text:
        return text[: text.rindex(start) + len(start)]
    return text


def _encode_rendered(model: LoadedModel, asked: Generate, text: str) -> list[int]:
    """Exactly one start token in front, where the model wants one; none inside a context."""
    bos = model.tokenizer.bos_token_id
    token_ids = model.tokenizer.encode(text, add_special=False)
    if asked.prompt_token_ids:
        return token_ids[1:] if token_ids[:1] == [bos] else token_ids
    if token_ids[:1] != [bos] and bos in model.tokenizer.encode("", add_special=True):
        assert bos is not None
        return [bos, *token_ids]
    return token_ids
