"""The messages of the chat; it follows what comes until the reader scrolls up."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from app.tui.conversation import Conversation
from app.tui.widgets.empty_state import EmptyState
from app.tui.widgets.reply import Reply
from app.tui.widgets.user_message import UserMessage

MAX_SHOWN = 40
"""So many of the latest messages are drawn when a chat is opened."""


class EarlierMessages(Static):
    """Stands for the messages that are not drawn."""

    DEFAULT_CSS = """
    EarlierMessages { color: $text-muted; text-align: center; margin: 1 0; pointer: pointer; }
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"↑ {count} earlier messages (click to show)", markup=False)

    async def on_click(self) -> None:
        """Draw what is missing."""
        assert isinstance(self.parent, Transcript)
        await self.parent.show_earlier()


class Transcript(VerticalScroll):
    """Messages from top to bottom, or the empty state."""

    DEFAULT_CSS = """
    Transcript {
        height: 1fr;
        padding: 1 0 0 1;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;
        scrollbar-color: $panel;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        &.-empty { align: center middle; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="-empty")
        self._conversation = Conversation()

    def compose(self) -> ComposeResult:
        """Begin empty."""
        yield EmptyState()

    async def show(self, conversation: Conversation) -> None:
        """Draw the conversation from its latest messages on."""
        await self._draw(conversation, MAX_SHOWN)
        self.anchor()

    async def show_earlier(self) -> None:
        """Draw all messages and stay at the top."""
        self.anchor(False)
        await self._draw(self._conversation, len(self._conversation.messages))
        self.scroll_home(animate=False)

    async def _draw(self, conversation: Conversation, max_shown: int) -> None:
        self._conversation = conversation
        places = conversation.path()
        widgets: list[Widget] = []
        if len(places) > max_shown:
            widgets.append(EarlierMessages(len(places) - max_shown))
        for place in places[-max_shown:]:
            widgets.append(self._make(conversation, place))
        self.set_class(not widgets, "-empty")
        with self.app.batch_update():
            await self.query("Transcript > *").remove()
            await self.mount_all(widgets or [EmptyState()])

    def _make(self, conversation: Conversation, place: int) -> Widget:
        message, branch = conversation.messages[place], conversation.branch(place)
        if message.role == "user":
            return UserMessage(message.content, branch)
        return Reply(message, branch)

    async def add(self, widget: Widget) -> None:
        """Append a message or a remark and go to the end."""
        await self.query(EmptyState).remove()
        self.remove_class("-empty")
        await self.mount(widget)
        self.anchor()
