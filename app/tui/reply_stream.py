"""One reply on its way: a thread reads the daemon's chunks, the screen collects them in bulk.

The screen draws at its own pace, however fast the tokens come; it asks `take()` for what is new.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.tui.conversation import ReplyStats, ToolCall, parse_stats
from models.errors import UserError

Chunks = Callable[[], Iterator[dict[str, Any]]]


@dataclass(frozen=True)
class ReplyUpdate:
    """What came since the last look, and where the reply stands."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    done: bool = False
    done_reason: str = ""
    num_dropped_messages: int = 0
    """The oldest messages, left out because the context was full."""
    stats: ReplyStats | None = None
    """Given with the daemon's last chunk; a stopped reply has none."""
    error: UserError | None = None


class ReplyStream:
    """Begins to read at once. `start` opens the stream, `cancel` must unblock the reader."""

    def __init__(self, start: Chunks, cancel: Callable[[], None]) -> None:
        self._start = start
        self._cancel = cancel
        self._lock = threading.Lock()
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._tool_calls: list[ToolCall] = []
        self._last: dict[str, Any] | None = None
        self._error: UserError | None = None
        self._stopped = False
        self._started_at = time.monotonic()
        self._first_at: float | None = None
        self._latest_at = self._started_at
        self._num_chunks = 0
        self.num_prompt_tokens_read = 0
        """How far the daemon says the prompt is read; 0 while it does not say."""
        self._thread = threading.Thread(target=self._read, name="reply", daemon=True)
        self._thread.start()

    @property
    def waited_s(self) -> float:
        """Since the request was sent."""
        return time.monotonic() - self._started_at

    @property
    def ttft_s(self) -> float | None:
        """From sending to the first text, None while there is none."""
        return None if self._first_at is None else self._first_at - self._started_at

    @property
    def live_tokens_per_s(self) -> float | None:
        """An estimate while the reply comes: the daemon sends about a chunk per token."""
        if self._first_at is None or self._num_chunks < 4:
            return None
        elapsed_s = self._latest_at - self._first_at
        return (self._num_chunks - 1) / elapsed_s if elapsed_s > 0 else None

    def estimate(self) -> ReplyStats | None:
        """What a reply without a final chunk cost, as far as it can be seen from here."""
        if self._first_at is None:
            return None
        return ReplyStats(
            num_output_tokens=self._num_chunks,
            decode_s=self._latest_at - self._first_at,
            ttft_s=self.ttft_s,
        )

    @property
    def num_chunks(self) -> int:
        """About the number of tokens so far."""
        return self._num_chunks

    def take(self) -> ReplyUpdate:
        """What came since the last call; `done` when nothing more will come."""
        with self._lock:
            done = self._stopped or self._last is not None or self._error is not None
            last = self._last or {}
            update = ReplyUpdate(
                content="".join(self._content),
                thinking="".join(self._thinking),
                tool_calls=tuple(self._tool_calls),
                done=done,
                done_reason=str(last.get("done_reason", "")),
                num_dropped_messages=num_dropped(last),
                stats=parse_stats(last, self.ttft_s) if last else None,
                error=None if self._stopped else self._error,
            )
            self._content.clear()
            self._thinking.clear()
            self._tool_calls.clear()
            return update

    def stop(self) -> None:
        """Give the reply up; what came so far is still there to take."""
        with self._lock:
            self._stopped = True
        self._cancel()

    def _read(self) -> None:
        try:
            for chunk in self._start():
                if not self._accept(chunk):
                    return
            failure = UserError("the reply broke off")
        except UserError as error:
            failure = error
        except (OSError, ValueError) as error:
            failure = UserError(
                f"the connection to the daemon broke: {error or type(error).__name__}",
            )
        with self._lock:
            self._error = failure

    def _accept(self, chunk: Mapping[str, Any]) -> bool:
        """Keep what the chunk brings; False when it is the last or no longer wanted."""
        message = chunk.get("message") or {}
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        progress = chunk.get("progress") or {}
        with self._lock:
            if self._stopped:
                return False
            self.num_prompt_tokens_read = int(progress.get("prompt_tokens_computed", 0))
            self._content.append(message.get("content") or "")
            self._thinking.append(message.get("thinking") or "")
            self._tool_calls += [ToolCall(call["name"], call["arguments"]) for call in calls]
            if chunk.get("done"):
                self._last = dict(chunk)
                return False
            if message.get("content") or message.get("thinking") or calls:
                self._latest_at = time.monotonic()
                self._num_chunks += 1
                if self._first_at is None:
                    self._first_at = self._latest_at
            return True


def num_dropped(chunk: Mapping[str, Any]) -> int:
    """How many messages the daemon says, in its final chunk, that it left out."""
    return int((chunk.get("truncated") or {}).get("dropped_messages", 0))
