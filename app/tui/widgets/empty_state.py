"""What an empty chat shows: a greeting and a few things to try."""

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

EXAMPLES = (
    "What can you do?",
    "Explain in three sentences how a compiler works",
    "Write a Python function that finds the longest word in a text",
    "Suggest a name for a small black cat",
)


class Example(Static, can_focus=True):
    """A prompt to try; a click or Enter puts it into the prompt."""

    DEFAULT_CSS = """
    Example {
        height: auto;
        width: 100%;
        padding: 0 1;
        color: $text-muted;
        pointer: pointer;
        &:hover { color: $foreground; background: $boost; }
        &:focus { color: $foreground; background: $boost; text-style: bold; }
    }
    """
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space", "choose", "Try it", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    @dataclass
    class Chosen(Message):
        """The user wants to try this prompt."""

        text: str

    def __init__(self, text: str) -> None:
        super().__init__(Content.assemble(("→ ", "$text-primary"), text))
        self._text = text

    def on_click(self, event: events.Click) -> None:
        event.stop()
        self.action_choose()

    def action_choose(self) -> None:
        """Offer the text."""
        self.post_message(self.Chosen(self._text))


class EmptyState(Vertical):
    """Stands in the middle of the screen until the first message."""

    DEFAULT_CSS = """
    EmptyState {
        width: 100%;
        height: auto;
        max-width: 70;
        padding: 0 2;
        & > .greeting { text-style: bold; color: $text-primary; padding: 0 1; }
        & > .subtitle { color: $text-muted; margin: 0 0 1 0; padding: 0 1; }
    }
    """

    def compose(self) -> ComposeResult:
        """Greeting and examples."""
        yield Static("What is on your mind?", classes="greeting")
        yield Static("Everything stays on this machine.", classes="subtitle")
        for text in EXAMPLES:
            yield Example(text)
