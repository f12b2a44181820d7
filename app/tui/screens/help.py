"""The keys."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from app.tui.keys import COMMANDS, MOVES, WRITING
from app.tui.screens.dialog import Dialog

_OTHERS = (
    ("Ctrl+P", "All commands, themes, export"),
    ("Ctrl+C", "Copy what the mouse selected"),
    ("Ctrl+Q", "Quit"),
)


class Help(Dialog[None]):
    """A table of keys; any of its closing keys leads back."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("f1,q,enter", "leave", show=False)]

    DEFAULT_CSS = """
    Help > .box {
        width: 62;
        max-height: 100%;
        padding: 0 2;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
    }
    """

    def compose(self) -> ComposeResult:
        """Three groups of keys."""
        with VerticalScroll(classes="box") as box:
            box.border_title = "Keys"
            box.border_subtitle = "Esc close"
            yield Static(self._table())

    def _table(self) -> Content:
        groups = [
            ("Writing", WRITING),
            (
                "Chat",
                [(k.shown, k.description) for k in COMMANDS if k.keys != "f1"] + list(_OTHERS),
            ),
            ("Reading", [(k.shown, k.description) for k in MOVES if k.shown]),
        ]
        lines: list[Content] = []
        for title, rows in groups:
            lines.append(Content.styled(title, "bold $text-primary"))
            for key, description in rows:
                lines.append(Content.assemble((f"  {key:<20}", "$text-accent"), description))
        return Content("\n").join(lines)
