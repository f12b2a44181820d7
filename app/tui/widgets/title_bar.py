"""The first line of the screen: the chat's title."""

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from app.tui.model_state import shorten


class TitleBar(Widget):
    """Product and title at the left, the way to help at the right."""

    DEFAULT_CSS = """
    TitleBar { height: 1; width: 1fr; padding: 0 1; color: $text-muted; background: $surface; }
    """

    chat_title: reactive[str] = reactive("")
    note: reactive[str] = reactive("")
    """What is set differently from the defaults."""

    def render(self) -> Content:
        """The line, the title cut to what fits."""
        width = self.content_size.width
        brand, right = "localllm", "F1 help"
        room = width - len(brand) - len(right) - 6
        title = shorten(self.chat_title, room)
        note = f"  ({self.note})" if self.note and len(title) + len(self.note) + 4 <= room else ""
        gap = " " * max(1, width - len(brand) - 3 - len(title) - len(note) - len(right))
        return Content.assemble(
            (brand, "bold $text-primary"),
            (" · ", "dim"),
            (title, "$foreground"),
            (note, "italic"),
            gap,
            right,
        )
