"""Lists the library's models and lets the user go on with another one."""

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from app.sizes import format_bytes
from app.tui.model_state import ModelChoice, display_name, same_model, shorten
from app.tui.screens.dialog import Dialog


class ModelPicker(Dialog[str]):
    """A search field over the list: typing narrows it, Enter takes the highlighted model."""

    DEFAULT_CSS = """
    ModelPicker {
        & > .box { width: 76; }
        OptionList {
            height: auto;
            max-height: 18;
            margin: 1 0 0 0;
            border: none;
            padding: 0;
            background: $surface;
            scrollbar-size-vertical: 1;
            &:focus { border: none; background-tint: transparent; }
            & > .option-list--option-disabled { color: $text-muted; }
        }
    }
    """

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current
        self._choices: list[ModelChoice] | None = None
        self._note = "Reading the library…"

    def compose(self) -> ComposeResult:
        """Search field and list."""
        with Vertical(classes="box") as box:
            box.border_title = "Models"
            box.border_subtitle = "Enter choose · Esc cancel"
            yield Input(placeholder="Search, or a path to a model")
            options = OptionList(markup=False)
            options.can_focus = False
            yield options

    def on_mount(self) -> None:
        """Say that the list is coming."""
        self._show()

    def show(self, choices: list[ModelChoice]) -> None:
        """The list has come."""
        self._choices = choices
        self._note = "No model here yet: localllm pull NAME brings one"
        self._show()

    def show_error(self, text: str) -> None:
        """The list will not come."""
        self._note = text
        self._show()

    def on_resize(self) -> None:
        """Fit the columns to the width."""
        self._show()

    def on_key(self, event: events.Key) -> None:
        """Arrow keys move in the list while the search field keeps the focus."""
        moves = {"up": "cursor_up", "down": "cursor_down", "pageup": "page_up"}
        moves |= {"pagedown": "page_down"}
        if event.key in moves:
            event.stop()
            getattr(self.query_one(OptionList), f"action_{moves[event.key]}")()

    @on(Input.Changed)
    def _show(self) -> None:
        text = self.query_one(Input).value
        shown = [choice for choice in self._choices or [] if choice.matches(text)]
        options = self.query_one(OptionList)
        if shown:
            options.set_options(Option(self._line(choice), id=choice.name) for choice in shown)
            current = [i for i, c in enumerate(shown) if same_model(c.name, self._current)]
            options.highlighted = current[0] if current else 0
        else:
            note = "Enter takes this path" if is_path(text) else self._note
            note = (
                "No such model here: localllm pull NAME fetches one"
                if self._choices and text
                else note
            )
            options.set_options([Option(note, disabled=True)])

    def _line(self, choice: ModelChoice) -> Content:
        width = max(20, min(76, int(self.app.size.width * 0.95)) - 8 - 31)
        name = shorten(display_name(choice.name), width)
        mark = ("● ", "$text-success") if choice.is_loaded else "  "
        facts = (
            f"{choice.parameters:>8} {choice.quantization:>9} {format_bytes(choice.num_bytes):>9}"
        )
        return Content.assemble(mark, f"{name:<{width}}", (facts, "$foreground 60%"))

    @on(Input.Submitted)
    def _take(self, event: Input.Submitted) -> None:
        option = self.query_one(OptionList).highlighted_option
        if option is not None and option.id is not None:
            self.dismiss(option.id)
        elif is_path(event.value):
            self.dismiss(event.value.strip())

    @on(OptionList.OptionSelected)
    def _take_clicked(self, event: OptionList.OptionSelected) -> None:
        if event.option.id is not None:
            self.dismiss(event.option.id)


def is_path(text: str) -> bool:
    """Whether the text is meant as a file or folder rather than a name."""
    return text.strip().startswith(("/", "~", "./", "../"))
