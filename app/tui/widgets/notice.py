"""A remark between messages, for what must not happen silently."""

from textual.content import Content
from textual.widgets import Static


class Notice(Static):
    """Text beside a warning-coloured bar."""

    DEFAULT_CSS = """
    Notice {
        height: auto;
        margin: 0 0 1 0;
        padding: 0 1;
        border-left: outer $warning;
        color: $text-warning;
    }
    """

    def __init__(self, text: str) -> None:
        super().__init__(Content(text))
