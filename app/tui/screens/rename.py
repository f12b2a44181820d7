"""Asks for a chat's title."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from app.tui.screens.dialog import Dialog


class Rename(Dialog[str]):
    """The new title, never blank."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        """A field with the present title."""
        with Vertical(classes="box") as box:
            box.border_title = "Rename chat"
            box.border_subtitle = "Enter save · Esc cancel"
            yield Input(self._title, placeholder="Title")

    @on(Input.Submitted)
    def _save(self, event: Input.Submitted) -> None:
        if title := " ".join(event.value.split()):
            self.dismiss(title)
