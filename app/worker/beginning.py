"""How an answer begins, or goes on in a worker that did not begin it."""

from dataclasses import replace

from app.protocol import Generate
from app.worker.prompt import Prompt, max_answer_tokens, template_of
from app.worker.thought import is_answer
from app.worker.writing import Writing
from engine.loading import LoadedModel
from engine.request import Grammar, Request
from engine.text.output_parser import make_output_parser, opens_thinking
from engine.text.text_stream import TextStream
from engine.text.tool_grammar import make_tool_grammar


def make_stream(model: LoadedModel, asked: Generate, prompt: Prompt) -> TextStream:
    """What makes text of the answer's tokens."""
    parser = None
    if asked.messages is not None:
        parser = make_output_parser(
            template_of(model, asked).source,
            thinking_open=opens_thinking(prompt.text),
            has_tools=bool(asked.tools),
        )
    return TextStream(model.tokenizer, parser, stop=tuple(asked.stop))


def _grammar(model: LoadedModel, asked: Generate, prompt: Prompt) -> Grammar | None:
    """What holds the answer; a grammar for calls has room for the thought before them."""
    if not (asked.must_call and asked.tools):
        return asked.grammar
    return make_tool_grammar(
        template_of(model, asked).source,
        asked.tools,
        model.tokenizer,
        thinks=_may_think(model, asked),
        thinking_open=opens_thinking(prompt.text),
        parallel=asked.parallel_calls,
    )


def _may_think(model: LoadedModel, asked: Generate) -> bool:
    template = template_of(model, asked)
    return asked.messages is not None and asked.think is not False and template.supports_thinking


def make_writing(
    model: LoadedModel, asked: Generate, prompt: Prompt, max_context_tokens: int
) -> Writing:
    """An answer and its request to the engine, behind the output that was given before, if any."""
    resumed = tuple(asked.resumed_token_ids)
    stream = make_stream(model, asked, prompt)
    deltas = [stream.add([token_id]) for token_id in resumed]
    grammar = _grammar(model, asked, prompt)
    is_followed = grammar is not None or asked.max_thinking_tokens is not None
    thinks = is_followed and grammar is asked.grammar and _may_think(model, asked)
    shown = (i for i, delta in enumerate(deltas) if is_answer(delta))
    answer_at = next(shown, len(resumed)) if thinks else 0
    is_free = thinks and answer_at == len(resumed)
    left = max_answer_tokens(asked, prompt, max_context_tokens) - len(resumed)
    request = Request(
        asked.id,
        prompt.token_ids + resumed,
        replace(asked.sampling, max_tokens=max(left, 1)),
        None if is_free else grammar,
        asked.priority,
        asked.client,
        max_context_tokens=max_context_tokens,
        num_kept_tokens=prompt.num_kept_tokens,
        num_resumed_tokens=len(resumed) - answer_at,
        num_prompt_logprobs=asked.num_prompt_logprobs,
    )
    writing = Writing(asked, prompt, request, stream)
    if is_free:
        writing.is_thinking, writing.later_grammar = True, asked.grammar
        writing.thought_ids = list(resumed)
    writing.stop = next((delta.stop for delta in deltas if delta.stop), "")
    has_called = any(delta.tool_calls for delta in deltas)
    if writing.stop or (has_called and not asked.parallel_calls):
        writing.finish_reason = "stop"
    elif resumed and left <= 0:
        writing.finish_reason = "length"
    return writing
