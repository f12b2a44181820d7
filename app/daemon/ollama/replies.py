"""What `/api/chat` and `/api/generate` answer: NDJSON chunks, and the same as one object. Pure."""

import secrets
import string
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.daemon.answer import Answer
from app.daemon.encoder import Json, Times, compact
from app.durations import nanoseconds
from app.protocol import Delta, Done, Progress, Started
from models.errors import UserError

_ID_LETTERS = string.ascii_lowercase + string.digits


def rfc3339(moment: datetime) -> str:
    """A UTC time stamp as Go writes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def make_call_id() -> str:
    """A tool call's id in Ollama's form."""
    return "call_" + "".join(secrets.choice(_ID_LETTERS) for _ in range(8))


def error_body(error: UserError) -> Json:
    """An error of the native API; clients read `error`, people the hint, our client the kind."""
    body = {"error": error.message, "kind": type(error).__name__}
    return body | ({"hint": error.hint} if error.hint else {})


class OllamaEncoder:
    """Chunks with `message` (chat) or `response` (generate).

    `context` is given at the end of a generate that is not raw.
    """

    media_type = "application/x-ndjson"

    def __init__(self, model: str, *, is_chat: bool, with_context: bool = False) -> None:
        self._model = model
        self._is_chat = is_chat
        self._with_context = with_context
        self._num_calls = 0
        self._started = Started("", 0)
        self._token_ids: list[int] = []

    def started(self, event: Started) -> bytes:
        """Nothing is written before the first text."""
        self._started = event
        return b""

    def delta(self, event: Delta) -> bytes:
        """One line, or none while text is held back."""
        if self._with_context:
            self._token_ids += event.token_ids
        if not (event.content or event.thinking or event.tool_calls or event.logprobs):
            return b""
        chunk = self._chunk(event.content, event.thinking, self._calls(event.tool_calls))
        chunk["done"] = False
        if event.logprobs:
            chunk["logprobs"] = list(event.logprobs)
        return _line(chunk)

    def done(self, event: Done, times: Times) -> bytes:
        """The last line."""
        return _line(self._chunk() | self._final(event, times))

    def end(self, answers: Mapping[str, Answer]) -> bytes:
        """The last line was the end."""
        del answers
        return b""

    def heartbeat(self, progress: Progress | None) -> bytes:
        """A chunk without text; `progress` says how much of the prompt is read."""
        chunk = self._chunk() | {"done": False}
        if progress is not None:
            chunk["progress"] = {"prompt_tokens_computed": progress.num_computed_tokens}
        return _line(chunk)

    def failure(self, error: UserError) -> bytes:
        """An error line; it has no HTTP status, so it names one."""
        return _line(error_body(error) | {"status": error.status})

    def whole(self, answers: Mapping[str, Answer], times: Times) -> Json:
        """The last chunk, with all the text in it."""
        (answer,) = answers.values()
        assert answer.done is not None
        assert answer.started is not None
        self._started = answer.started
        self._token_ids = answer.token_ids
        chunk = self._chunk(
            "".join(answer.content), "".join(answer.thinking), self._calls(answer.tool_calls)
        )
        chunk |= self._final(answer.done, times)
        if answer.logprobs:
            chunk["logprobs"] = answer.logprobs
        return chunk

    def error_body(self, error: UserError) -> Json:
        """`{"error": …}`."""
        return error_body(error)

    def loaded(self, reason: str) -> Json:
        """The answer to an empty prompt: the model was loaded, or unloaded."""
        return self._chunk() | {"done": True, "done_reason": reason}

    def _chunk(self, content: str = "", thinking: str = "", calls: Sequence[Json] = ()) -> Json:
        chunk: Json = {"model": self._model, "created_at": rfc3339(datetime.now(UTC))}
        extra: Json = {"thinking": thinking} if thinking else {}
        extra |= {"tool_calls": list(calls)} if calls else {}
        if self._is_chat:
            chunk["message"] = {"role": "assistant", "content": content, **extra}
        else:
            chunk |= {"response": content, **extra}
        return chunk

    def _calls(self, calls: Sequence[Json]) -> list[Json]:
        first, self._num_calls = self._num_calls, self._num_calls + len(calls)
        return [
            {
                "id": make_call_id(),
                "function": {
                    "index": index,
                    "name": call["name"],
                    "arguments": call["arguments"],
                },
            }
            for index, call in enumerate(calls, first)
        ]

    def _final(self, event: Done, times: Times) -> Json:
        stats = event.stats
        final: Json = {"done": True, "done_reason": event.finish_reason}
        if self._with_context:
            final["context"] = [*self._started.prompt_token_ids, *self._token_ids]
        final |= {
            "total_duration": nanoseconds(times.total_s),
            "load_duration": nanoseconds(times.load_s),
            "prompt_eval_count": stats.num_prompt_tokens,
            "prompt_eval_duration": nanoseconds(stats.prefill_s),
            "eval_count": stats.num_output_tokens,
            "eval_duration": nanoseconds(stats.decode_s),
            "cached_prompt_tokens": stats.num_cached_tokens,
        }
        if stats.num_draft_tokens:
            final["draft"] = {
                "accepted": stats.num_accepted_tokens,
                "proposed": stats.num_draft_tokens,
            }
        num_dropped_tokens = self._started.num_dropped_tokens + stats.num_dropped_tokens
        if num_dropped_tokens:
            final["truncated"] = {
                "dropped_messages": self._started.num_dropped_messages,
                "dropped_tokens": num_dropped_tokens,
            }
        return final


def _line(chunk: Json) -> bytes:
    return compact(chunk) + b"\n"
