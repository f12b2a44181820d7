"""What `/v1/chat/completions` answers: server-sent events, or one object. Pure."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from app.daemon.answer import Answer
from app.daemon.encoder import Json, Times, arguments_text, compact
from app.daemon.ollama.replies import make_call_id
from app.protocol import Delta, Done, Progress, Started
from models.errors import UserError

FINGERPRINT = "fp_ollama"


def error_body(error: UserError) -> Json:
    """An error of OpenAI's API."""
    kinds = {404: "not_found_error", **dict.fromkeys((400, 401, 403), "invalid_request_error")}
    body: Json = {
        "message": error.message,
        "type": kinds.get(error.status, "api_error"),
        "param": None,
        "code": "invalid_api_key" if error.status == 401 else None,
    }
    return {"error": body | ({"hint": error.hint} if error.hint else {})}


def sse(value: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + compact(value) + b"\n\n"


def usage(answers: Mapping[str, Answer]) -> Json:
    """Token counts of all choices; a prompt that several choices share counts once."""
    stats = [answer.done.stats for answer in answers.values() if answer.done is not None]
    bases = {key.rpartition(".")[0]: answer.done for key, answer in answers.items()}
    prompts = [done.stats for done in bases.values() if done is not None]
    num_prompt = sum(each.num_prompt_tokens for each in prompts)
    num_output = sum(each.num_output_tokens for each in stats)
    return {
        "prompt_tokens": num_prompt,
        "completion_tokens": num_output,
        "total_tokens": num_prompt + num_output,
        "prompt_tokens_details": {"cached_tokens": sum(s.num_cached_tokens for s in prompts)},
    }


class ChatCompletionEncoder:
    """`chat.completion` and its chunks, for one or several choices."""

    media_type = "text/event-stream"

    def __init__(self, model: str, request_ids: Sequence[str], *, include_usage: bool) -> None:
        self._model = model
        self._index = {request_id: index for index, request_id in enumerate(request_ids)}
        self._include_usage = include_usage
        self._id = f"chatcmpl-{request_ids[0].partition('.')[0]}"
        self._created = int(time.time())
        self._has_role: set[str] = set()
        self._has_calls: set[str] = set()

    def started(self, event: Started) -> bytes:
        """Nothing is written before the first text."""
        del event
        return b""

    def delta(self, event: Delta) -> bytes:
        """Thinking, text and calls, each in a chunk of its own."""
        deltas: list[Json] = []
        if event.thinking:
            deltas.append({"reasoning": event.thinking})
        parts = [_call_part(part) for part in event.call_parts if part["name"] or part["arguments"]]
        if event.content or (event.logprobs and not event.thinking and not parts):
            deltas.append({"content": event.content})
        if parts:
            self._has_calls.add(event.id)
            deltas.append({"tool_calls": parts})
        logprobs = {"content": _logprobs(event.logprobs)} if event.logprobs else None
        body = b""
        for delta in deltas:
            body += self._chunk(event.id, delta, logprobs=logprobs)
            logprobs = None
        return body

    def done(self, event: Done, times: Times) -> bytes:
        """The chunk with the reason."""
        del times
        reason = finish_reason(event, has_calls=event.id in self._has_calls)
        return self._chunk(event.id, {}, finish_reason=reason)

    def end(self, answers: Mapping[str, Answer]) -> bytes:
        """Usage if it was asked for, and the mark that ends a stream."""
        body = b""
        if self._include_usage:
            body = sse(
                self._head("chat.completion.chunk") | {"choices": [], "usage": usage(answers)}
            )
        return body + b"data: [DONE]\n\n"

    def heartbeat(self, progress: Progress | None) -> bytes:
        """A comment."""
        del progress
        return b": still here\n\n"

    def failure(self, error: UserError) -> bytes:
        """An error event; no `[DONE]` follows."""
        return sse(error_body(error))

    def whole(self, answers: Mapping[str, Answer], times: Times) -> Json:
        """A `chat.completion`."""
        del times
        choices = [self._choice(request_id, answer) for request_id, answer in answers.items()]
        return self._head("chat.completion") | {"choices": choices, "usage": usage(answers)}

    def error_body(self, error: UserError) -> Json:
        """`{"error": {…}}`."""
        return error_body(error)

    def _choice(self, request_id: str, answer: Answer) -> Json:
        assert answer.done is not None
        message: Json = {"role": "assistant", "content": "".join(answer.content)}
        if answer.thinking:
            message["reasoning"] = "".join(answer.thinking)
        if answer.tool_calls:
            message["tool_calls"] = [
                _call(index, call["name"], arguments_text(call))
                for index, call in enumerate(answer.tool_calls)
            ]
            message["content"] = message["content"] or None
        choice: Json = {
            "index": self._index[request_id],
            "message": message,
            "finish_reason": finish_reason(answer.done, has_calls=bool(answer.tool_calls)),
        }
        if answer.logprobs:
            choice["logprobs"] = {"content": _logprobs(answer.logprobs)}
        return choice

    def _head(self, kind: str) -> Json:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "system_fingerprint": FINGERPRINT,
        }

    def _chunk(
        self,
        request_id: str,
        delta: Json,
        *,
        finish_reason: str | None = None,
        logprobs: Json | None = None,
    ) -> bytes:
        if request_id not in self._has_role:
            self._has_role.add(request_id)
            delta = {"role": "assistant", "content": "", **delta}
        choice: Json = {
            "index": self._index[request_id],
            "delta": delta,
            "finish_reason": finish_reason,
        }
        if logprobs is not None:
            choice["logprobs"] = logprobs
        return sse(self._head("chat.completion.chunk") | {"choices": [choice]})


def _call(index: int, name: str, arguments: str) -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": make_call_id(), "index": index, "type": "function", "function": function}


def _call_part(part: Json) -> Json:
    """The first part of a call has its id and name, the others only more of its arguments."""
    if not part["name"]:
        return {"index": part["index"], "function": {"arguments": part["arguments"]}}
    return _call(part["index"], part["name"], part["arguments"])


def finish_reason(event: Done, *, has_calls: bool) -> str:
    """Why an answer ended, in OpenAI's words."""
    return "tool_calls" if has_calls and event.finish_reason == "stop" else event.finish_reason


def _logprobs(entries: Sequence[Json]) -> list[Json]:
    return [{"top_logprobs": [], **entry} for entry in entries]
