"""A reply on its way: it collects from its stream at the screen's pace and draws what came."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message as TextualMessage
from textual.widgets import Static

from app.tui.conversation import Branch, Message
from app.tui.pending_reply import PendingReply
from app.tui.reply_stream import ReplyUpdate
from app.tui.status import format_seconds
from app.tui.widgets.reply import Reply, closing_lines
from app.tui.widgets.status_line import SPINNER
from app.tui.widgets.thinking import Thinking
from app.tui.widgets.tool_call_line import ToolCallLine
from models.errors import UserError

if TYPE_CHECKING:
    from textual.widgets.markdown import MarkdownStream

FRAME_S = 1 / 20


class LiveReply(Reply):
    """Begins with a waiting line. After `Finished` the screen calls `complete`."""

    @dataclass
    class Progress(TextualMessage):
        """The reply grew."""

        reply: "LiveReply"
        tokens_per_s: float | None
        num_tokens: int

    @dataclass
    class Finished(TextualMessage):
        """Nothing more will come. `message` None: nothing came at all."""

        reply: "LiveReply"
        message: Message | None
        error: UserError | None

    def __init__(self, pending: PendingReply, waiting_for: str) -> None:
        Vertical.__init__(self)
        self.waiting_for = waiting_for
        """What the waiting line says; the screen changes it as the model loads."""
        self._pending = pending
        self._markdown: MarkdownStream | None = None
        self._drawing = asyncio.Lock()
        self._end: ReplyUpdate | None = None

    def compose(self) -> ComposeResult:
        """The waiting line."""
        yield Static(classes="waiting")

    def on_mount(self) -> None:
        """Look for text at the screen's pace."""
        self._show_waiting()
        self._timer = self.set_interval(FRAME_S, self._draw)

    def stop(self) -> None:
        """Give up; `Finished` follows with what came."""
        self._pending.stream.stop()

    async def settle(self) -> Message | None:
        """Stop and draw what came, at once and without `Finished`; returns what is to be kept."""
        self.stop()
        end = await self._draw_update()
        assert end is not None
        return self._pending.message(end)

    async def complete(self, message: Message | None, branch: Branch) -> None:
        """Add the closing lines of the message that was kept."""
        if message is not None:
            await self.mount_all(closing_lines(message, branch))

    async def _draw(self) -> None:
        if self._end is not None:
            return
        end = await self._draw_update()
        stream = self._pending.stream
        self.post_message(self.Progress(self, stream.live_tokens_per_s, stream.num_chunks))
        if end is not None:
            message = self._pending.message(end)
            self.post_message(self.Finished(self, message, end.error))

    async def _draw_update(self) -> ReplyUpdate | None:
        """Draw what is new; the last update when the reply has ended."""
        async with self._drawing:
            if self._end is not None:
                return self._end
            update = self._pending.stream.take()
            self._pending.add(update)
            with self.app.batch_update():
                if self._pending.is_silent and not update.done:
                    self._show_waiting()
                else:
                    await self.query(".waiting").remove()
                await self._append(update)
            if update.done:
                await self._close(update)
            return self._end

    async def _append(self, update: ReplyUpdate) -> None:
        if update.thinking:
            if not self.query(Thinking):
                await self.mount(Thinking(), before=0)
            self.query_one(Thinking).append(update.thinking, self._pending.stream.waited_s)
        if update.content:
            await self._append_content(update.content)
        if update.tool_calls:
            await self.mount_all(ToolCallLine(call) for call in update.tool_calls)

    async def _append_content(self, text: str) -> None:
        if self._markdown is None:
            text = text.lstrip()
            if not text:
                return
            from app.tui.widgets.answer import Answer  # slow to import: not for the first frame

            answer = Answer()
            await self.mount(answer)
            self._markdown = Answer.get_stream(answer)
            for thinking in self.query(Thinking):
                thinking.finish()
        await self._markdown.write(text)

    async def _close(self, update: ReplyUpdate) -> None:
        self._end = update
        self._timer.stop()
        for thinking in self.query(Thinking):
            thinking.finish()
        if self._markdown is not None:
            await self._markdown.stop()

    def _show_waiting(self) -> None:
        waited_s = self._pending.stream.waited_s
        frame = SPINNER[int(waited_s * 10) % len(SPINNER)]
        what = self.waiting_for
        if count := self._pending.stream.num_prompt_tokens_read:
            what += f", {count:,} tokens"
        since = f"  {format_seconds(waited_s)}" if waited_s >= 2 else ""
        for line in self.query(".waiting").results(Static):
            line.update(Content(f"{frame} {what}{since}"))
