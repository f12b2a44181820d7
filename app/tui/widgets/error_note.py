"""An error in the flow of the chat: what happened and what to do."""

from textual.content import Content
from textual.widgets import Static

from models.errors import UserError


class ErrorNote(Static):
    """The message, the hint below it, and how to try again."""

    DEFAULT_CSS = """
    ErrorNote {
        height: auto;
        margin: 0 0 1 0;
        padding: 0 1;
        border-left: outer $error;
        color: $text-error;
    }
    """

    def __init__(self, error: UserError) -> None:
        parts: list[Content | str | tuple[str, str]] = [("error: ", "bold"), error.message]
        if error.hint:
            parts += ["\n", ("hint: ", "bold $foreground 70%"), (error.hint, "$foreground 70%")]
        parts += ["\n", ("Ctrl+R tries again", "$foreground 50%")]
        super().__init__(Content.assemble(*parts))
