"""What `/v1/completions` answers: server-sent events, or one object. Pure."""

import time
from collections.abc import Mapping, Sequence

from app.daemon.answer import Answer
from app.daemon.encoder import Json, Times
from app.daemon.openai.replies import FINGERPRINT, error_body, finish_reason, sse, usage
from app.protocol import Delta, Done, Generate, Progress, Started
from models.errors import UserError


class CompletionEncoder:
    """`text_completion`, whole or in chunks. `echoes` are put before each choice's text.

    `only_prompt`: the echo is all that is shown.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        model: str,
        request_ids: Sequence[str],
        *,
        include_usage: bool,
        echoes: Sequence[str] = (),
        only_prompt: bool = False,
        num_best: int | None = None,
        shows_logprobs: bool = True,
    ) -> None:
        self._only_prompt = only_prompt
        self._num_best = num_best
        self._shows_logprobs = shows_logprobs
        self._model = model
        self._index = {request_id: index for index, request_id in enumerate(request_ids)}
        self._include_usage = include_usage
        self._echoes = dict(zip(request_ids, echoes, strict=False))
        self._offsets = {request_id: len(echo) for request_id, echo in self._echoes.items()}
        self._id = f"cmpl-{request_ids[0].partition('.')[0]}"
        self._created = int(time.time())

    def started(self, event: Started) -> bytes:
        """The echo."""
        echo = self._echoes.get(event.id)
        return self._chunk(event.id, echo) if echo else b""

    def delta(self, event: Delta) -> bytes:
        """More text; a thought is text too, for this API."""
        text = event.thinking + event.content
        if self._only_prompt or not (text or event.logprobs):
            return b""
        return self._chunk(event.id, text, logprobs=event.logprobs)

    def done(self, event: Done, times: Times) -> bytes:
        """The chunk with the reason."""
        del times
        return self._chunk(event.id, "", finish_reason=finish_reason(event, has_calls=False))

    def end(self, answers: Mapping[str, Answer]) -> bytes:
        """Usage if it was asked for, and the mark that ends a stream."""
        body = b""
        if self._include_usage:
            body = sse(self._head() | {"choices": [], "usage": usage(answers)})
        return body + b"data: [DONE]\n\n"

    def heartbeat(self, progress: Progress | None) -> bytes:
        """A comment."""
        del progress
        return b": still here\n\n"

    def failure(self, error: UserError) -> bytes:
        """An error event; no `[DONE]` follows."""
        return sse(error_body(error))

    def whole(self, answers: Mapping[str, Answer], times: Times) -> Json:
        """A `text_completion`."""
        del times
        choices: list[Json] = []
        for request_id, answer in self._shown(answers):
            assert answer.done is not None
            text = self._echo(request_id, answer)
            logprobs: Sequence[Json] = answer.logprobs
            assert isinstance(answer.asked, Generate)
            if answer.prompt_logprobs and answer.asked.sampling.num_logprobs is not None:
                self._offsets[request_id] = 0
                shown = [] if self._only_prompt else answer.logprobs
                logprobs = [*answer.prompt_logprobs, *shown]
            if not self._only_prompt:
                text += "".join(answer.content)
            reason = finish_reason(answer.done, has_calls=False)
            choice = self._choice(
                request_id, text, reason, logprobs if self._shows_logprobs else ()
            )
            choices.append(choice | {"index": len(choices)})
        return self._head() | {"choices": choices, "usage": usage(answers)}

    def _shown(self, answers: Mapping[str, Answer]) -> list[tuple[str, Answer]]:
        """All answers, or the likeliest of each prompt by the mean of its log-probabilities."""
        if self._num_best is None:
            return list(answers.items())
        by_prompt: dict[str, list[tuple[str, Answer]]] = {}
        for request_id, answer in answers.items():
            by_prompt.setdefault(request_id.rpartition(".")[0], []).append((request_id, answer))
        ranked = (sorted(each, key=_likelihood, reverse=True) for each in by_prompt.values())
        return [shown for each in ranked for shown in each[: self._num_best]]

    def error_body(self, error: UserError) -> Json:
        """`{"error": {…}}`."""
        return error_body(error)

    def _echo(self, request_id: str, answer: Answer) -> str:
        """The prompt as it was given, or as its tokens are read."""
        text = self._echoes.get(request_id, "")
        if text or request_id not in self._echoes:
            return text
        return b"".join(bytes(each["bytes"]) for each in answer.prompt_logprobs).decode(
            errors="replace"
        )

    def _head(self) -> Json:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
        }

    def _chunk(
        self,
        request_id: str,
        text: str,
        *,
        finish_reason: str | None = None,
        logprobs: Sequence[Json] = (),
    ) -> bytes:
        choice = self._choice(request_id, text, finish_reason, logprobs)
        return sse(self._head() | {"choices": [choice]})

    def _choice(
        self, request_id: str, text: str, reason: str | None, logprobs: Sequence[Json]
    ) -> Json:
        choice: Json = {"text": text, "index": self._index[request_id], "finish_reason": reason}
        choice["logprobs"] = self._logprobs(request_id, logprobs) if logprobs else None
        return choice

    def _logprobs(self, request_id: str, logprobs: Sequence[Json]) -> Json:
        """The older form: parallel lists."""
        offsets, at = [], self._offsets.get(request_id, 0)
        for each in logprobs:
            offsets.append(at)
            at += len(each["token"])
        self._offsets[request_id] = at
        return {
            "tokens": [each["token"] for each in logprobs],
            "token_logprobs": [each["logprob"] for each in logprobs],
            "top_logprobs": [
                {top["token"]: top["logprob"] for top in each.get("top_logprobs", ())}
                if each["logprob"] is not None
                else None
                for each in logprobs
            ],
            "text_offset": offsets,
        }


def _likelihood(answered: tuple[str, Answer]) -> float:
    logprobs = [float(each["logprob"]) for each in answered[1].logprobs]
    return sum(logprobs) / len(logprobs) if logprobs else 0.0
