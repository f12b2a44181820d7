"""A complete reply of the model: thinking, Markdown, tool calls, figures."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from app.tui.conversation import Branch, Message
from app.tui.status import cut_note, reply_note
from app.tui.widgets.branch_note import BranchNote
from app.tui.widgets.notice import Notice
from app.tui.widgets.thinking import Thinking
from app.tui.widgets.tool_call_line import ToolCallLine


class Reply(Vertical):
    """One message, drawn at once."""

    DEFAULT_CSS = """
    Reply {
        height: auto;
        & > .waiting { color: $text-muted; padding: 0 2; margin: 0 0 1 0; }
        & > .note { color: $text-muted; text-style: dim; padding: 0 2; margin: 0 0 1 0; }
        & > BranchNote { margin: 0 2 1 2; }
    }
    """

    def __init__(self, message: Message, branch: Branch) -> None:
        super().__init__()
        self._message = message
        self._branch = branch

    def compose(self) -> ComposeResult:
        """The parts that the message has."""
        if self._message.thinking:
            yield Thinking(self._message.thinking, self._message.thinking_s)
        if self._message.content:
            from app.tui.widgets.answer import Answer  # slow to import: not for the first frame

            yield Answer(self._message.content)
        for call in self._message.tool_calls:
            yield ToolCallLine(call)
        yield from closing_lines(self._message, self._branch)


def closing_lines(message: Message, branch: Branch) -> ComposeResult:
    """What stands under a reply: its cost, what was cut, which version it is."""
    if note := reply_note(message):
        yield Static(Content(note), classes="note")
    if note := cut_note(message):
        yield Notice(note)
    if branch.count > 1:
        yield BranchNote(branch)
