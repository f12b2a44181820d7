"""Between the protocol's texts and the engine's tokens: requests in, pieces of answers out."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace

from app.protocol import (
    Abort,
    Delta,
    Detokenize,
    Detokenized,
    Done,
    Embed,
    Event,
    Explain,
    Failed,
    Generate,
    Metrics,
    Progress,
    Tokenize,
    Tokenized,
)
from app.worker.beginning import make_stream, make_writing
from app.worker.delta import make_delta, make_logprob
from app.worker.embedding import Embedding, embed_step, prepare_embedding
from app.worker.explanation import explain_prefix
from app.worker.prompt import check_token_ids, make_prompt, template_of
from app.worker.thought import closing_tokens, is_answer
from app.worker.writing import Writing, whole_stats
from engine.loading import LoadedModel
from engine.request import RequestStats, StepOutput, TokenLogprob
from engine.text.text_stream import TextDelta
from models.errors import UserError

log = logging.getLogger("localllm.worker")

Asked = Generate | Tokenize | Detokenize | Embed
Prepared = Writing | Embedding | Event


class WorkerEngine:
    """One model's requests. `prepare` may run in another thread than the rest."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._writing: dict[str, Writing] = {}

    @property
    def is_idle(self) -> bool:
        """Whether `step` has nothing to do."""
        return not (self._model.engine.has_unfinished or self._model.embedder.has_unfinished)

    def metrics(self) -> Metrics:
        """The engine's counts."""
        return Metrics(asdict(self._model.engine.metrics))

    def save_prefixes(self) -> bool:
        """Write a little of what may be wanted again to disk; False when nothing is left to do."""
        try:
            return self._model.engine.save_prefixes(max_blocks=4) > 0
        except OSError as error:
            log.warning("prefixes are not kept on disk: %s", error)
            return False

    def prepare(self, message: Asked) -> Prepared:
        """Render and encode; what needs no engine is answered at once.

        Raises:
            UserError: the prompt cannot be made, or does not fit.
        """
        tokenizer = self._model.tokenizer
        if isinstance(message, Tokenize):
            token_ids = tokenizer.encode(message.text, add_special=message.add_special)
            pieces = [list(tokenizer.token_bytes(token_id)) for token_id in token_ids]
            return Tokenized(message.id, token_ids, pieces if message.with_pieces else ())
        if isinstance(message, Detokenize):
            check_token_ids(message.token_ids, tokenizer.vocab_size)
            return Detokenized(message.id, tokenizer.decode(message.token_ids))
        if isinstance(message, Embed):
            return prepare_embedding(self._model, message)
        held = self._model.engine.limits.max_context_tokens
        limit = min(held, message.max_context_tokens or held)
        prompt = make_prompt(self._model, message, limit)
        return make_writing(self._model, message, prompt, limit)

    def take(self, item: Prepared | Abort | Explain) -> list[Event]:
        """Give what was prepared to the engine, or pass an event on."""
        if isinstance(item, Abort):
            self._writing.pop(item.id, None)
            self._model.engine.abort(item.id)
            self._model.embedder.abort(item.id)
            return []
        if isinstance(item, Explain):
            return [explain_prefix(self._model, item)]
        if isinstance(item, Embedding):
            self._model.embedder.add(item.id, item.texts)
            return []
        if not isinstance(item, Writing):
            return [item]
        if item.finish_reason is not None:
            num_output_tokens = len(item.asked.resumed_token_ids)
            num_prompt_tokens = len(item.prompt.token_ids)
            stats = RequestStats(
                num_prompt_tokens, num_prompt_tokens, num_output_tokens, 0, 0, 0.0, 0.0, 0.0
            )
            return [item.started, Done(item.asked.id, item.finish_reason, stats, item.stop)]
        try:
            self._model.engine.add_request(item.request)
        except UserError as error:
            return [Failed.of(error, item.asked.id)]
        self._writing[item.asked.id] = item
        return [item.started]

    def step(self) -> list[Event]:
        """One step of the engine, and what it means for each request."""
        events: list[Event] = []
        if self._model.engine.has_unfinished:
            for output in self._model.engine.step():
                events += self._advance(output, self._writing[output.request_id])
        if self._model.embedder.has_unfinished:
            events += embed_step(self._model.embedder)
        return events

    def _advance(self, output: StepOutput, writing: Writing) -> list[Event]:
        request_id = output.request_id
        if output.error is not None:
            del self._writing[request_id]
            return [Failed.of(output.error, request_id)]
        events: list[Event] = []
        if output.prompt_logprobs:
            events.append(self._read(output, writing))
        if not output.token_ids and output.finish_reason is None:
            return [*events, Progress(request_id, output.num_computed_tokens)]
        if writing.is_thinking:
            return events + self._think(output, writing)
        return events + self._write(writing, output, 0, TextDelta())

    def _write(
        self, writing: Writing, output: StepOutput, first: int, begun: TextDelta
    ) -> list[Event]:
        """The answer's tokens from `first` on, some of which the stream has read as `begun`."""
        request_id, reason, stats = output.request_id, output.finish_reason, output.stats
        rest = output.token_ids[first + begun.num_tokens :]
        delta = begun if begun.stopped else begun + self._add(writing, rest)
        writing.stop = delta.stop
        token_ids = output.token_ids[first : first + delta.num_tokens]
        events: list[Event] = [self._delta(request_id, token_ids, delta, output.logprobs[first:])]
        if delta.stopped or (delta.tool_calls and not writing.asked.parallel_calls):
            stats = stats or self._abort(request_id)
            reason = "stop"
        return events + (self._finish(writing, reason, stats) if reason is not None else [])

    def _add(self, writing: Writing, token_ids: Sequence[int]) -> TextDelta:
        """The tokens' text; where one call is wanted, nothing behind it is looked at."""
        if writing.asked.parallel_calls:
            return writing.stream.add(token_ids)
        delta = TextDelta()
        for token_id in token_ids:
            delta += writing.stream.add([token_id])
            if delta.tool_calls:
                break
        first = tuple(part for part in delta.call_parts if part.index == 0)
        return replace(delta, tool_calls=delta.tool_calls[:1], call_parts=first)

    def _read(self, output: StepOutput, writing: Writing) -> Delta:
        """Log-probabilities of the prompt; its first token has none and stands before them."""
        tokenizer = self._model.tokenizer
        entries = [make_logprob(tokenizer, each) for each in output.prompt_logprobs]
        if not writing.has_read:
            writing.has_read = True
            first = TokenLogprob(writing.prompt.token_ids[0], 0.0)
            entries.insert(0, make_logprob(tokenizer, first) | {"logprob": None})
        return Delta(output.request_id, prompt_logprobs=entries)

    def _think(self, output: StepOutput, writing: Writing) -> list[Event]:
        """Tokens of a thought; where it ends, the answer begins anew inside its grammar."""
        request_id = output.request_id
        events: list[Event] = []
        is_over = output.finish_reason == "stop"
        for index, token_id in enumerate(output.token_ids):
            delta = writing.stream.add([token_id])
            if is_answer(delta) and writing.later_grammar is None:
                writing.is_thinking = False
                return events + self._write(writing, output, index, delta)
            if is_answer(delta):
                is_over = True
                break
            writing.thought_ids.append(token_id)
            logprobs = output.logprobs[index : index + 1]
            events.append(self._delta(request_id, [token_id], delta, logprobs))
            if delta.stopped:
                writing.stop = delta.stop
                stats = output.stats or self._abort(request_id)
                return events + self._finish(writing, "stop", stats)
            if writing.has_thought_enough and output.finish_reason is None:
                is_over = True
                break
        if is_over and (writing.later_grammar is not None or output.finish_reason is None):
            stats = output.stats or self._abort(request_id)
            return events + self._close_thought(writing) + self._begin_answer(writing, stats)
        if output.finish_reason is not None:
            events += self._finish(writing, output.finish_reason, output.stats)
        return events

    def _close_thought(self, writing: Writing) -> list[Event]:
        """End a thought that the model left open when it wanted to end, or had to."""
        source, ids = template_of(self._model, writing.asked).source, writing.thought_ids
        closing = closing_tokens(self._model.tokenizer, source, writing.prompt.text, ids)
        writing.thought_ids += closing
        return [self._delta(writing.asked.id, closing, TextDelta(), ())] if closing else []

    def _begin_answer(self, writing: Writing, stats: RequestStats) -> list[Event]:
        asked, thought = writing.asked, tuple(writing.thought_ids)
        max_tokens = writing.request.sampling.max_tokens
        assert max_tokens is not None, "always set here"
        num_new = len(thought) - len(asked.resumed_token_ids)
        writing.stream = make_stream(self._model, asked, writing.prompt)
        writing.stream.add(thought)
        writing.thought_stats = stats
        writing.request = replace(
            writing.request,
            prompt_token_ids=writing.prompt.token_ids + thought,
            sampling=replace(writing.request.sampling, max_tokens=max(max_tokens - num_new, 1)),
            grammar=writing.later_grammar,
            num_resumed_tokens=0,
        )
        writing.later_grammar, writing.is_thinking = None, False
        try:
            self._model.engine.add_request(writing.request)
        except UserError as error:
            del self._writing[asked.id]
            return [Failed.of(error, asked.id)]
        return []

    def _abort(self, request_id: str) -> RequestStats:
        aborted = self._model.engine.abort(request_id)
        assert aborted is not None, "it was running"
        assert aborted.stats is not None, "it has ended"
        return aborted.stats

    def _delta(
        self,
        request_id: str,
        token_ids: Sequence[int],
        delta: TextDelta,
        logprobs: Sequence[TokenLogprob],
    ) -> Delta:
        return make_delta(self._model.tokenizer, request_id, token_ids, delta, logprobs)

    def _finish(self, writing: Writing, reason: str, stats: RequestStats | None) -> list[Event]:
        assert stats is not None, "given with the reason"
        request_id = writing.asked.id
        del self._writing[request_id]
        rest = self._delta(request_id, (), writing.stream.finish(), ())
        return [rest, Done(request_id, reason, whole_stats(stats, writing), writing.stop)]
