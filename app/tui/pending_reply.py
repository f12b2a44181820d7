"""A reply that is coming: its stream, what has come of it, and the message it becomes."""

from app.tui.conversation import INTERRUPTED, STOPPED_BY_USER, Message, ToolCall
from app.tui.reply_stream import ReplyStream, ReplyUpdate


class PendingReply:
    """Collects updates; knows no widgets."""

    def __init__(self, stream: ReplyStream, model: str) -> None:
        self.stream = stream
        self._model = model
        self._content = ""
        self._thinking = ""
        self._thinking_s: float | None = None
        self._tool_calls: list[ToolCall] = []

    @property
    def is_silent(self) -> bool:
        """Whether nothing has come yet."""
        return not (self._content or self._thinking or self._tool_calls)

    def add(self, update: ReplyUpdate) -> None:
        """Take in what came."""
        self._content += update.content
        self._thinking += update.thinking
        self._tool_calls += update.tool_calls
        if self._thinking and self._thinking_s is None and (self._content or update.done):
            self._thinking_s = self.stream.waited_s

    def message(self, last: ReplyUpdate) -> Message | None:
        """The reply as it is kept; None when nothing came."""
        if self.is_silent and last.stats is None:
            return None
        reason = last.done_reason
        if not reason:
            reason = INTERRUPTED if last.error else STOPPED_BY_USER
        return Message(
            role="assistant",
            content=self._content.strip(),
            thinking=self._thinking.strip(),
            thinking_s=self._thinking_s,
            tool_calls=tuple(self._tool_calls),
            model=self._model,
            done_reason=reason,
            num_dropped_messages=last.num_dropped_messages,
            stats=last.stats or self.stream.estimate(),
        )
