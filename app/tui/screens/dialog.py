"""What all dialogs share: a framed box in the middle, Esc closes it without an answer."""

from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer | None]):
    """A box over the chat; None is the answer of who left with Esc."""

    DEFAULT_CSS = """
    Dialog {
        align: center middle;
        background: $background 60%;
        & > .box {
            width: 64;
            max-width: 95%;
            height: auto;
            max-height: 90%;
            padding: 1 2;
            background: $surface;
            border: round $primary;
            border-title-color: $text-primary;
            border-title-style: bold;
            border-subtitle-color: $text-muted;
        }
        Input {
            border: none;
            height: 1;
            padding: 0 1;
            background: $panel 60%;
            &:focus { border: none; background: $panel; }
        }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Close", show=False),
    ]

    def action_leave(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
