"""The field one writes in: it grows with the text, Enter sends, Up brings back what was sent."""

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import TextArea

NEWLINE_KEYS = ("shift+enter", "ctrl+j", "alt+enter")
"""Terminals differ in which of them they pass on; Ctrl+J works in all."""


class Prompt(TextArea):
    """A text area whose Enter submits instead of breaking the line."""

    DEFAULT_CSS = """
    Prompt {
        height: auto;
        min-height: 3;
        max-height: 40%;
        padding: 0 1;
        border: round $border-blurred;
        border-subtitle-color: $text-muted;
        border-title-color: $text-accent;
        background: $background;
        scrollbar-size-vertical: 1;
        &:focus { border: round $primary; background: $background; }
        &.-editing, &.-editing:focus { border: round $accent; }
        &.-busy, &.-busy:focus { border: round $border-blurred; }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "recall_or_up", "Earlier", id="prompt.recall", show=False),
        Binding("down", "forward_or_down", "Later", id="prompt.forward", show=False),
    ]

    @dataclass
    class Submitted(Message):
        """Enter was pressed on a text that is not blank; the field still holds it."""

        prompt: "Prompt"
        text: str
        edited: int | None
        """The message of which this is another version."""

    is_replying: reactive[bool] = reactive(False)
    """Whether the hints should say how to stop."""

    edited: reactive[int | None] = reactive(None)
    """The place of the message that is being edited."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            id=id, highlight_cursor_line=False, placeholder="Ask anything", tab_behavior="focus"
        )
        self._sent: list[str] = []
        self._recalled: int | None = None
        """The place in `_sent` of the text shown, None while writing."""
        self._draft = ""
        """What stood here before editing began."""

    def on_mount(self) -> None:
        """Show the hints."""
        self._show_hints()

    def clear_sent(self) -> None:
        """The text was sent: Up brings it back; what was written before an edit returns."""
        text = self.text.strip()
        if not self._sent or self._sent[-1] != text:
            self._sent.append(text)
        self.put(self._draft)
        self._draft = ""
        self.edited = None

    def edit_message(self, place: int, text: str) -> None:
        """Show a message that was sent, to be sent anew in another version."""
        if self.edited is None:
            self._draft = self.text
        self.edited = place
        self.put(text)

    def leave_editing(self) -> bool:
        """Bring back what was written before; False when no message was being edited."""
        if self.edited is None:
            return False
        self.edited = None
        self.put(self._draft)
        self._draft = ""
        return True

    def watch_is_replying(self) -> None:
        """Other hints."""
        self._show_hints()

    def watch_edited(self) -> None:
        """Other hints."""
        self._show_hints()

    def _show_hints(self) -> None:
        is_editing = self.edited is not None
        self.set_class(self.is_replying, "-busy")
        self.set_class(is_editing, "-editing")
        self.border_title = "Editing your message" if is_editing else ""
        if self.is_replying:
            self.border_subtitle = "Esc stop"
        else:
            self.border_subtitle = f"Enter send · {'Esc leave' if is_editing else 'Ctrl+J line'}"

    def put(self, text: str) -> None:
        """Show `text` with the cursor at its end."""
        self._recalled = None
        self.load_text(text)
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        """Enter and its kin, in their order among the typed letters.

        A priority binding would run before letters that arrived in the same read.
        """
        if event.key not in ("enter", *NEWLINE_KEYS):
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        if event.key in NEWLINE_KEYS:
            self.replace("\n", *self.selection, maintain_selection_offset=False)
            self.scroll_cursor_visible()
        else:
            self.submit()

    def submit(self) -> None:
        """Offer the text to whoever listens, unless it is blank."""
        if text := self.text.strip():
            self.post_message(self.Submitted(self, text, self.edited))

    def action_recall_or_up(self) -> None:
        """In an empty field or one with a recalled text: the text sent before."""
        if not self._sent or not (self.cursor_at_first_line and self._is_recalled_or_empty()):
            self.action_cursor_up()
            return
        place = len(self._sent) if self._recalled is None else self._recalled
        self._recall(max(0, place - 1))

    def action_forward_or_down(self) -> None:
        """While recalling: the text sent after, at last the empty field."""
        if self._recalled is None or not self.cursor_at_last_line:
            self.action_cursor_down()
        elif self._recalled + 1 < len(self._sent):
            self._recall(self._recalled + 1)
        else:
            self.put("")

    def _is_recalled_or_empty(self) -> bool:
        if self._recalled is None:
            return not self.text
        return self.text == self._sent[self._recalled]

    def _recall(self, place: int) -> None:
        self.put(self._sent[place])
        self._recalled = place
