"""The model's thinking: one dim line that opens into the whole text."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from app.tui.status import format_seconds


class ThinkingTitle(Static, can_focus=True):
    """The line that opens and closes; a click or Enter turns it."""

    DEFAULT_CSS = """
    ThinkingTitle {
        height: 1;
        width: 1fr;
        color: $text-muted;
        pointer: pointer;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        &:hover, &:focus { color: $foreground; }
    }
    """
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "turn", "Show thinking", show=False)
    ]

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.action_turn()

    def action_turn(self) -> None:
        """Open or close the text below."""
        assert isinstance(self.parent, Thinking)
        self.parent.is_open = not self.parent.is_open


class Thinking(Vertical):
    """While the model thinks, the closed line shows how long and the latest words."""

    DEFAULT_CSS = """
    Thinking {
        height: auto;
        padding: 0 2;
        margin: 0 0 1 0;
        & > .text { display: none; color: $text-muted; padding: 0 0 0 2; }
        &.-open > .text { display: block; }
    }
    """

    is_open: reactive[bool] = reactive(False)

    def __init__(self, text: str = "", thinking_s: float | None = None) -> None:
        super().__init__()
        self._text = text
        self._elapsed_s = thinking_s
        self._is_thinking = False

    def compose(self) -> ComposeResult:
        """The line and the hidden text."""
        yield ThinkingTitle()
        yield Static(Content(self._text.strip()), classes="text")

    def on_mount(self) -> None:
        """Show the first title."""
        self._show_title()

    def append(self, text: str, elapsed_s: float) -> None:
        """More thinking, `elapsed_s` after it began."""
        self._text += text
        self._elapsed_s = elapsed_s
        self._is_thinking = True
        if self.is_open:
            self._show_text()
        self._show_title()

    def finish(self) -> None:
        """The answer begins."""
        self._is_thinking = False
        self._show_title()

    def watch_is_open(self, is_open: bool) -> None:
        """Show or hide the text."""
        self.set_class(is_open, "-open")
        if self.is_mounted and self.query(".text"):
            self._show_text()
            self._show_title()

    def _show_text(self) -> None:
        self.query_one(".text", Static).update(Content(self._text.strip()))

    def _show_title(self) -> None:
        arrow = "▾" if self.is_open else "▸"
        duration = format_seconds(self._elapsed_s)
        if self._is_thinking:
            tail = " ".join(self._text[-400:].split())[-120:] if not self.is_open else ""
            label = Content.assemble(f"{arrow} Thinking {duration}  ", (tail, "dim italic"))
        else:
            label = Content(f"{arrow} Thought" + (f" for {duration}" if duration else ""))
        self.query_one(ThinkingTitle).update(label)
