"""What Anthropic's `/v1/messages` answers: named server-sent events, or one message. Pure."""

import secrets
from collections.abc import Mapping

from app.daemon.answer import Answer
from app.daemon.encoder import Json, Times, compact
from app.protocol import Delta, Done, Progress, Started
from engine.request import RequestStats
from models.errors import UserError

_ERROR_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def error_body(error: UserError) -> Json:
    """An error of Anthropic's API."""
    return {
        "type": "error",
        "error": {"type": _ERROR_KINDS.get(error.status, "api_error"), "message": error.message},
        "request_id": f"req_{secrets.token_hex(12)}",
    }


def event(name: str, **fields: object) -> bytes:
    """One named server-sent event."""
    return f"event: {name}\ndata: ".encode() + compact({"type": name, **fields}) + b"\n\n"


class MessageEncoder:
    """A message as content blocks: thinking, then text, then tool uses."""

    media_type = "text/event-stream"

    def __init__(self, model: str) -> None:
        self._model = model
        self._id = f"msg_{secrets.token_hex(12)}"
        self._open: str | None = None
        """Type of the block that is being written."""
        self._num_blocks = 0
        self._call_index = -1
        """Number of the call that was begun last."""
        self._has_started = False

    def started(self, event_: Started) -> bytes:
        """The empty message; its prompt tokens are counted exactly."""
        self._has_started = True
        message = {
            **self._head(),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": event_.num_prompt_tokens, "output_tokens": 0},
        }
        return event("message_start", message=message)

    def delta(self, event_: Delta) -> bytes:
        """Thoughts, text and calls, each in blocks of their own."""
        body = b""
        if event_.thinking:
            body += self._open_block("thinking", thinking="", signature="")
            body += self._block_delta(type="thinking_delta", thinking=event_.thinking)
        if event_.content:
            body += self._open_block("text", text="")
            body += self._block_delta(type="text_delta", text=event_.content)
        for part in event_.call_parts:
            body += self._write_call(part)
        return body

    def done(self, event_: Done, times: Times) -> bytes:
        """Why it ended, and what it cost."""
        del times
        reason = _stop_reason(event_, has_calls=self._call_index >= 0)
        delta = {"stop_reason": reason, "stop_sequence": event_.stop or None}
        usage = _usage(event_.stats)
        return self._close_block() + event("message_delta", delta=delta, usage=usage)

    def end(self, answers: Mapping[str, Answer]) -> bytes:
        """The last event."""
        del answers
        return event("message_stop")

    def heartbeat(self, progress: Progress | None) -> bytes:
        """A real event: these clients do not count comments as signs of life."""
        del progress
        return event("ping")

    def failure(self, error: UserError) -> bytes:
        """An error event."""
        return b"event: error\ndata: " + compact(error_body(error)) + b"\n\n"

    def whole(self, answers: Mapping[str, Answer], times: Times) -> Json:
        """The whole message."""
        del times
        (answer,) = answers.values()
        assert answer.done is not None
        content: list[Json] = []
        if answer.thinking:
            thinking = "".join(answer.thinking)
            content.append({"type": "thinking", "thinking": thinking, "signature": ""})
        if answer.content:
            content.append({"type": "text", "text": "".join(answer.content)})
        content += [
            {"type": "tool_use", "id": _call_id(), "name": c["name"], "input": c["arguments"]}
            for c in answer.tool_calls
        ]
        return {
            **self._head(),
            "content": content,
            "stop_reason": _stop_reason(answer.done, has_calls=bool(answer.tool_calls)),
            "stop_sequence": answer.done.stop or None,
            "usage": _usage(answer.done.stats),
        }

    def error_body(self, error: UserError) -> Json:
        """`{"type": "error", …}`."""
        return error_body(error)

    def _write_call(self, part: Json) -> bytes:
        body = b""
        if part["name"]:
            self._call_index = part["index"]
            body += self._close_block()
            body += self._open_block("tool_use", id=_call_id(), name=part["name"], input={})
        if part["arguments"]:
            body += self._block_delta(type="input_json_delta", partial_json=part["arguments"])
        if part["is_last"] and part["index"] == self._call_index:
            body += self._close_block()
        return body

    def _head(self) -> Json:
        return {"id": self._id, "type": "message", "role": "assistant", "model": self._model}

    def _open_block(self, kind: str, **fields: object) -> bytes:
        if self._open == kind:
            return b""
        body = self._close_block()
        self._open = kind
        block = {"type": kind, **fields}
        return body + event("content_block_start", index=self._num_blocks, content_block=block)

    def _block_delta(self, **fields: object) -> bytes:
        return event("content_block_delta", index=self._num_blocks, delta=fields)

    def _close_block(self) -> bytes:
        if self._open is None:
            return b""
        self._open = None
        self._num_blocks += 1
        return event("content_block_stop", index=self._num_blocks - 1)


def _call_id() -> str:
    return f"toolu_{secrets.token_hex(12)}"


def _stop_reason(done: Done, *, has_calls: bool) -> str:
    if done.stop:
        return "stop_sequence"
    if has_calls and done.finish_reason == "stop":
        return "tool_use"
    return {"stop": "end_turn", "length": "max_tokens"}.get(done.finish_reason, "end_turn")


def _usage(stats: RequestStats) -> Json:
    return {
        "input_tokens": stats.num_prompt_tokens - stats.num_cached_tokens,
        "cache_read_input_tokens": stats.num_cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": stats.num_output_tokens,
    }
