"""The messages of the chat; it follows what comes until the reader scrolls up."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Static

from app.tui.conversation import Conversation
from app.tui.widgets.empty_state import EmptyState
from app.tui.widgets.reply import Reply
from app.tui.widgets.user_message import UserMessage

STEP = 10
"""So many of the latest messages are drawn when a chat is opened, and at each step back."""


class EarlierMessages(Static):
    """Stands for the messages that are not drawn."""

    DEFAULT_CSS = """
    EarlierMessages { color: $text-muted; text-align: center; margin: 0 0 1 0; pointer: pointer; }
    """
    ALLOW_SELECT = False

    def __init__(self, count: int) -> None:
        super().__init__(f"↑ {count} earlier messages", markup=False)

    async def on_click(self) -> None:
        """Draw some of them."""
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
        self._num_hidden = 0
        """Messages at the beginning that are not drawn."""

    def compose(self) -> ComposeResult:
        """Begin empty."""
        yield EmptyState()

    async def show(self, conversation: Conversation) -> None:
        """Draw the latest messages of the conversation and go to its end."""
        places = conversation.path()
        self._conversation = conversation
        self._num_hidden = max(0, len(places) - STEP)
        widgets = [self._make(place) for place in places[self._num_hidden :]]
        self.set_class(not widgets, "-empty")
        with self.app.batch_update():
            await self.query("Transcript > *").remove()
            await self.mount_all([*self._earlier(), *(widgets or [EmptyState()])])
        self.anchor()

    async def show_earlier(self) -> None:
        """Draw some more of the messages before the first one drawn, which stays in its place."""
        if self._num_hidden == 0:
            return
        end = self._num_hidden
        self._num_hidden = max(0, end - STEP)
        places = self._conversation.path()[self._num_hidden : end]
        first = self.children[1]
        with self.app.batch_update():
            await self.query(EarlierMessages).remove()
            earlier = [*self._earlier(), *(self._make(place) for place in places)]
            await self.mount_all(earlier, before=first)
        self.call_after_refresh(self.scroll_to_widget, first, top=True, animate=False)

    def _earlier(self) -> list[Widget]:
        return [EarlierMessages(self._num_hidden)] if self._num_hidden else []

    def _make(self, place: int) -> Widget:
        message, branch = self._conversation.messages[place], self._conversation.branch(place)
        if message.role == "user":
            return UserMessage(message.content, branch)
        return Reply(message, branch)

    async def add(self, widget: Widget) -> None:
        """Append a message or a remark and go to the end."""
        await self.query(EmptyState).remove()
        self.remove_class("-empty")
        await self.mount(widget)
        self.anchor()
