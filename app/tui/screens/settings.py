"""Sampling, length, thinking and the system prompt of the chat."""

from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Label, Static, TextArea

from app.tui.chat_options import NUMBERS, THINKING_CHOICES, ChatOptions, Thinking, parse_number
from app.tui.screens.dialog import Dialog
from models.errors import InvalidInput

_EXPLANATIONS = {
    "temperature": "0: always the likeliest word",
    "top_p": "words up to this share",
    "top_k": "so many words, 0: all",
    "seed": "the same reply again",
    "max_tokens": "the longest reply",
}


class ThinkingChoice(Static, can_focus=True):
    """One of auto, on, off; the arrow keys, Space and clicks turn it."""

    DEFAULT_CSS = """
    ThinkingChoice {
        width: 18;
        height: 1;
        padding: 0 1;
        background: $panel 60%;
        &:focus { background: $panel; text-style: bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "turn(1)", show=False),
        Binding("left", "turn(-1)", show=False),
    ]

    def __init__(self, choice: Thinking) -> None:
        super().__init__()
        self.choice: Thinking = choice

    def on_mount(self) -> None:
        """Show the choice."""
        self.action_turn(0)

    def on_click(self) -> None:
        """The next choice."""
        self.action_turn(1)

    def action_turn(self, step: int) -> None:
        """Move on among the choices."""
        place = THINKING_CHOICES.index(self.choice) + step
        self.choice = THINKING_CHOICES[place % len(THINKING_CHOICES)]
        self.update(Content(f"◂ {self.choice} ▸"))


class SettingsDialog(Dialog[ChatOptions]):
    """The changed options; each field is checked as it is typed."""

    DEFAULT_CSS = """
    SettingsDialog {
        & > .box { width: 66; overflow-y: auto; scrollbar-size-vertical: 1; }
        .row { height: 1; }
        .system { margin: 1 0 0 0; }
        .row > .name { width: 14; }
        .row > Input { width: 18; &.-invalid { background: $error 30%; } }
        .row > .explanation { color: $text-muted; padding: 0 0 0 2; width: 1fr; }
        .error { color: $text-error; height: auto; display: none; &.-shown { display: block; } }
        TextArea {
            height: 5;
            border: none;
            padding: 0 1;
            background: $panel 60%;
            &:focus { border: none; background: $panel; }
        }
    }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,f2", "save", "Save", show=False, priority=True),
    ]

    def __init__(self, options: ChatOptions) -> None:
        super().__init__()
        self._options = options

    def compose(self) -> ComposeResult:
        """A row for each option, the system prompt below."""
        with VerticalScroll(classes="box") as box:
            box.can_focus = False
            box.border_title = "Settings"
            box.border_subtitle = "Enter save · Tab next · Esc cancel"
            for name in NUMBERS:
                value = getattr(self._options, name)
                with Horizontal(classes="row"):
                    yield Label(name.replace("_", " "), classes="name")
                    yield Input(
                        "" if value is None else f"{value}", placeholder="model default", id=name
                    )
                    yield Label(_EXPLANATIONS[name], classes="explanation")
            with Horizontal(classes="row"):
                yield Label("thinking", classes="name")
                yield ThinkingChoice(self._options.thinking)
                yield Label("auto: as the model does", classes="explanation")
            yield Label("system prompt (Ctrl+S saves)", classes="system")
            yield TextArea(
                self._options.system, placeholder="model default", highlight_cursor_line=False
            )
            yield Static(classes="error")

    @on(Input.Changed)
    def _check(self, event: Input.Changed) -> None:
        assert event.input.id is not None
        try:
            parse_number(event.input.id, event.value)
        except InvalidInput as error:
            event.input.add_class("-invalid")
            self._say(error.message)
        else:
            event.input.remove_class("-invalid")
            self._say("")

    def _say(self, text: str) -> None:
        line = self.query_one(".error", Static)
        line.update(Content(text))
        line.set_class(bool(text), "-shown")

    @on(Input.Submitted)
    def action_save(self) -> None:
        """Close with the options, or go to the field that is wrong."""
        values: dict[str, Any] = {}
        for name in NUMBERS:
            field = self.query_one(f"#{name}", Input)
            try:
                values[name] = parse_number(name, field.value)
            except InvalidInput as error:
                field.focus()
                self._say(error.message)
                return
        self.dismiss(
            ChatOptions(
                **values,
                thinking=self.query_one(ThinkingChoice).choice,
                system=self.query_one(TextArea).text.strip(),
            )
        )
