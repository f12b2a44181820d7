"""What the user said."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from app.tui.conversation import Branch
from app.tui.widgets.branch_note import BranchNote


class UserMessage(Vertical):
    """The text as it was typed, with a bar at its left."""

    DEFAULT_CSS = """
    UserMessage {
        height: auto;
        margin: 0 1 1 0;
        padding: 0 1;
        border-left: outer $primary;
        background: $surface;
    }
    UserMessage:nocolor { border-left: outer $foreground; }
    """

    def __init__(self, text: str, branch: Branch) -> None:
        super().__init__()
        self._text = text
        self._branch = branch

    def compose(self) -> ComposeResult:
        """The text, and which version of the message it is."""
        yield Static(Content(self._text))
        if self._branch.count > 1:
            yield BranchNote(self._branch)
