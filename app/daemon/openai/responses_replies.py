"""What OpenAI's `/v1/responses` answers: typed, numbered events, or one response. Pure."""

import secrets
import time
from collections.abc import Mapping

from app.daemon.answer import Answer
from app.daemon.encoder import Json, Times, arguments_text, compact
from app.daemon.ollama.replies import make_call_id
from app.daemon.openai.replies import error_body
from app.daemon.openai.responses_requests import ResponseRequest
from app.protocol import Delta, Done, Progress, Started
from models.errors import UserError


class ResponseEncoder:
    """Output items one after the other: reasoning, a message, function calls."""

    media_type = "text/event-stream"

    def __init__(self, asked: ResponseRequest) -> None:
        self.finished: Json = {}
        """The whole response, once it is complete."""
        self._asked = asked
        self._id = f"resp_{secrets.token_hex(16)}"
        self._created = int(time.time())
        self._num_events = 0
        self._items: list[Json] = []
        self._is_open = False
        """Whether the last item is still being written."""
        self._call_index = -1
        """Number of the call that was begun last."""

    def started(self, event: Started) -> bytes:
        """The response, empty."""
        del event
        body = self._response("in_progress", None)
        created = self._event("response.created", response=body)
        return created + self._event("response.in_progress", response=body)

    def delta(self, event: Delta) -> bytes:
        """More of the open item, or a new one."""
        body = b""
        if event.thinking:
            body += self._write("reasoning", event.thinking)
        if event.content:
            body += self._write("message", event.content)
        for part in event.call_parts:
            body += self._write_call(part)
        return body

    def done(self, event: Done, times: Times) -> bytes:
        """The whole response once more."""
        del times
        closed = self._close()
        kind = "incomplete" if event.finish_reason == "length" else "completed"
        self.finished = self._response(kind, event)
        return closed + self._event(f"response.{kind}", response=self.finished)

    def end(self, answers: Mapping[str, Answer]) -> bytes:
        """The last event was the end."""
        del answers
        return b""

    def heartbeat(self, progress: Progress | None) -> bytes:
        """A comment."""
        del progress
        return b": still here\n\n"

    def failure(self, error: UserError) -> bytes:
        """The response as failed."""
        failed = self._response("failed", None)
        failed["error"] = {"code": "server_error", "message": error.message}
        return self._event("response.failed", response=failed)

    def whole(self, answers: Mapping[str, Answer], times: Times) -> Json:
        """One response."""
        (answer,) = answers.values()
        assert answer.done is not None
        request_id = answer.asked.id
        self.delta(Delta(request_id, thinking="".join(answer.thinking)))
        self.delta(Delta(request_id, content="".join(answer.content)))
        for index, call in enumerate(answer.tool_calls):
            part = {"index": index, "name": call["name"], "arguments": arguments_text(call)}
            self.delta(Delta(request_id, call_parts=[{**part, "is_last": True}]))
        self.done(answer.done, times)
        return self.finished

    def error_body(self, error: UserError) -> Json:
        """`{"error": {…}}`."""
        return error_body(error)

    def _write(self, kind: str, text: str) -> bytes:
        body = b""
        if not self._is_open or self._items[-1]["type"] != kind:
            body = self._close() + self._open(kind)
        item = self._items[-1]
        self._part(item)["text"] += text
        name = "reasoning_summary_text" if kind == "reasoning" else "output_text"
        return body + self._event(f"response.{name}.delta", **self._place(item), delta=text)

    def _open(self, kind: str) -> bytes:
        if kind == "reasoning":
            item: Json = {"type": kind, "id": f"rs_{secrets.token_hex(12)}", "summary": []}
        else:
            item = {"type": kind, "id": f"msg_{secrets.token_hex(12)}", "role": "assistant"}
            item |= {"status": "in_progress", "content": []}
        self._items.append(item)
        self._is_open = True
        index = len(self._items) - 1
        body = self._event("response.output_item.added", output_index=index, item=item)
        if kind == "reasoning":
            item["summary"].append({"type": "summary_text", "text": ""})
        else:
            item["content"].append({"type": "output_text", "text": "", "annotations": []})
        name = "reasoning_summary_part" if kind == "reasoning" else "content_part"
        added = f"response.{name}.added"
        return body + self._event(added, **self._place(item), part=self._part(item))

    def _close(self) -> bytes:
        """Say that the open item is whole."""
        if not self._is_open:
            return b""
        self._is_open = False
        item = self._items[-1]
        if item["type"] == "function_call":
            return self._close_call(item)
        is_thought = item["type"] == "reasoning"
        text_name = "reasoning_summary_text" if is_thought else "output_text"
        part_name = "reasoning_summary_part" if is_thought else "content_part"
        if not is_thought:
            item["status"] = "completed"
        place, part = self._place(item), self._part(item)
        index = len(self._items) - 1
        return (
            self._event(f"response.{text_name}.done", **place, text=part["text"])
            + self._event(f"response.{part_name}.done", **place, part=part)
            + self._event("response.output_item.done", output_index=index, item=item)
        )

    def _write_call(self, part: Json) -> bytes:
        body = b""
        if part["name"]:
            self._call_index = part["index"]
            body += self._close() + self._open_call(part["name"])
        item = self._items[-1]
        if part["arguments"]:
            item["arguments"] += part["arguments"]
            place = self._call_place(item)
            name = "response.function_call_arguments.delta"
            body += self._event(name, **place, delta=part["arguments"])
        if part["is_last"] and part["index"] == self._call_index:
            body += self._close()
        return body

    def _open_call(self, name: str) -> bytes:
        item = {
            "type": "function_call",
            "id": f"fc_{secrets.token_hex(12)}",
            "call_id": make_call_id(),
            "name": name,
            "arguments": "",
            "status": "in_progress",
        }
        self._items.append(item)
        self._is_open = True
        index = len(self._items) - 1
        return self._event("response.output_item.added", output_index=index, item=item)

    def _close_call(self, item: Json) -> bytes:
        item["status"] = "completed"
        done = {"name": item["name"], "arguments": item["arguments"]}
        place = self._call_place(item)
        body = self._event("response.function_call_arguments.done", **place, **done)
        index = len(self._items) - 1
        return body + self._event("response.output_item.done", output_index=index, item=item)

    def _call_place(self, item: Json) -> Json:
        return {"item_id": item["id"], "output_index": len(self._items) - 1}

    def _part(self, item: Json) -> Json:
        part: Json = item["summary" if item["type"] == "reasoning" else "content"][0]
        return part

    def _place(self, item: Json) -> Json:
        index_name = "summary_index" if item["type"] == "reasoning" else "content_index"
        place = {"item_id": item["id"], "output_index": len(self._items) - 1, index_name: 0}
        return place if index_name == "summary_index" else {**place, "logprobs": []}

    def _event(self, name: str, /, **fields: object) -> bytes:
        number, self._num_events = self._num_events, self._num_events + 1
        data = compact({"type": name, "sequence_number": number, **fields})
        return f"event: {name}\ndata: ".encode() + data + b"\n\n"

    def _response(self, status: str, done: Done | None) -> Json:
        is_cut = status == "incomplete"
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "model": self._asked.text.model,
            "output": self._items if done is not None else [],
            "service_tier": "default",
            **self._asked.echo,
            "usage": None if done is None else _usage(done),
        }


def _usage(done: Done) -> Json:
    stats = done.stats
    return {
        "input_tokens": stats.num_prompt_tokens,
        "input_tokens_details": {"cached_tokens": stats.num_cached_tokens},
        "output_tokens": stats.num_output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": stats.num_prompt_tokens + stats.num_output_tokens,
    }
