"""A tool the model asked for."""

from textual.content import Content
from textual.widgets import Static

from app.tui.conversation import ToolCall


class ToolCallLine(Static):
    """The call as one would write it."""

    DEFAULT_CSS = """
    ToolCallLine { height: auto; margin: 0 2 1 2; color: $text-secondary; }
    """

    def __init__(self, call: ToolCall) -> None:
        super().__init__(Content.assemble(("⚙ ", "bold"), str(call)))
