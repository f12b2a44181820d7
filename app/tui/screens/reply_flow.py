"""Transcript, prompt and status line: messages go out, replies come in."""

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message as TextualMessage
from textual.reactive import reactive
from textual.screen import Screen

from app.history import History
from app.tui.chat import Chat
from app.tui.connection import Connection
from app.tui.conversation import Message
from app.tui.model_state import ModelState, display_name
from app.tui.pending_reply import PendingReply
from app.tui.widgets.error_note import ErrorNote
from app.tui.widgets.live_reply import LiveReply
from app.tui.widgets.prompt import Prompt
from app.tui.widgets.status_line import StatusLine
from app.tui.widgets.title_bar import TitleBar
from app.tui.widgets.transcript import Transcript
from app.tui.widgets.user_message import UserMessage
from models.errors import UserError


class ReplyFlow(Screen[None]):
    """One chat at a time. The app tells it about the model through `model`."""

    DEFAULT_CSS = """
    ReplyFlow {
        background: $background;
        & > #body { height: 1fr; }
        & #main { height: 1fr; width: 1fr; }
        & #prompt { margin: 0 1; }
    }
    """

    model: reactive[ModelState] = reactive(ModelState(""))

    @dataclass
    class LoadWanted(TextualMessage):
        """The chat needs this model, which is not there."""

        model: str

    def __init__(self, history: History, connection: Connection, chat: Chat) -> None:
        super().__init__()
        self.chat = chat
        self._history = history
        self._connection = connection
        self._live: LiveReply | None = None

    def compose(self) -> ComposeResult:
        """Title, transcript, prompt, status."""
        yield TitleBar()
        with Horizontal(id="body"), Vertical(id="main"):
            yield Transcript(id="transcript")
            yield Prompt(id="prompt")
        yield StatusLine()

    def on_mount(self) -> None:
        """Ready to write."""
        self.prompt.focus()
        self.query_one(StatusLine).model = self.model
        self.after_change()

    @property
    def prompt(self) -> Prompt:
        """The field one writes in."""
        return self.query_one(Prompt)

    @property
    def transcript(self) -> Transcript:
        """The messages."""
        return self.query_one(Transcript)

    @property
    def is_replying(self) -> bool:
        """Whether a reply is on its way."""
        return self._live is not None

    def watch_model(self, model: ModelState) -> None:
        """Show the model's state where it is looked for."""
        for status in self.query(StatusLine):  # none before the first frame and while closing
            status.model = model
        if self._live is not None:
            self._live.waiting_for = self._waiting_for()

    @on(Prompt.Submitted)
    async def _send(self, event: Prompt.Submitted) -> None:
        if self.is_replying:
            self.notify("Esc stops the reply that is coming", title="One at a time", timeout=3)
            return
        event.prompt.clear_sent()
        self.chat.ask(event.text, instead_of=event.edited)
        if event.edited is None:
            place = self.chat.conversation.leaf
            assert place is not None
            branch = self.chat.conversation.branch(place)
            await self.transcript.add(UserMessage(event.text, branch))
        else:
            await self.transcript.show(self.chat.conversation)
        await self.ask_for_reply()

    async def ask_for_reply(self) -> None:
        """Have the model answer the last message."""
        self.after_change()
        if self.model.phase == "failed":
            self.post_message(self.LoadWanted(self.chat.model))
        stream = self._connection.reply(self.chat.request())
        self._live = LiveReply(PendingReply(stream, self.chat.model), self._waiting_for())
        await self.transcript.add(self._live)
        status = self.query_one(StatusLine)
        status.rate, status.num_live_tokens, status.is_live = None, 0, True
        self.prompt.is_replying = True

    @on(LiveReply.Progress)
    def _show_progress(self, event: LiveReply.Progress) -> None:
        if event.reply is self._live:
            status = self.query_one(StatusLine)
            status.rate, status.num_live_tokens = event.tokens_per_s, event.num_tokens

    @on(LiveReply.Finished)
    async def _finish(self, event: LiveReply.Finished) -> None:
        if event.reply is not self._live:
            return
        await self._keep(event.reply, event.message)
        if event.error is not None:
            await self.transcript.add(ErrorNote(event.error))

    async def _keep(self, reply: LiveReply, message: Message | None) -> None:
        """Store what came and leave the replying state."""
        self._live = None
        if message is not None:
            self._announce_dropped(message)
            self.chat.answer(message)
            place = self.chat.conversation.leaf
            assert place is not None
            await reply.complete(message, self.chat.conversation.branch(place))
        self.query_one(StatusLine).is_live = False
        self.prompt.is_replying = False
        self.after_change()

    def _announce_dropped(self, reply: Message) -> None:
        """Say it when more messages are left out than before; the line under a reply stays."""
        conversation = self.chat.conversation
        shown = (conversation.messages[place] for place in conversation.path())
        before = max((message.num_dropped_messages for message in shown), default=0)
        if reply.num_dropped_messages > before:
            self.notify(
                f"The context is full: the model no longer sees the first "
                f"{reply.num_dropped_messages} messages. Ctrl+N begins with an empty context.",
                title="Long chat",
                severity="warning",
                timeout=10,
            )

    async def settle(self) -> None:
        """Stop a reply that is coming and keep what came of it."""
        if self._live is not None:
            reply = self._live
            await self._keep(reply, await reply.settle())

    async def show_error(self, error: UserError) -> None:
        """Say it in the flow of the chat; a reply that is coming will say it itself."""
        if not self.is_replying:
            await self.transcript.add(ErrorNote(error))

    def stop(self) -> bool:
        """Stop the reply that is coming, keeping what came; False when none is."""
        if self._live is None:
            return False
        self._live.stop()
        return True

    def after_change(self) -> None:
        """Bring title and figures up to date, and say once that saving failed."""
        status = self.query_one(StatusLine)
        status.stats = stats = self.chat.conversation.last_stats()
        if not self.is_replying:
            status.rate = stats.tokens_per_s if stats else None
        bar = self.query_one(TitleBar)
        bar.chat_title, bar.note = self.chat.title, self.chat.options.summary()
        if self.chat.problem is not None:
            self.notify(self.chat.problem.message, title="Not saved", severity="warning")
            self.chat.problem = None

    def _waiting_for(self) -> str:
        name = display_name(self.chat.model)
        phrases = {"starting": "Starting", "loading": f"Loading {name}"}
        return phrases.get(self.model.phase, "Reading the prompt")
