"""Which of several versions of a message is shown."""

from textual.widgets import Static

from app.tui.conversation import Branch


class BranchNote(Static):
    """A dim line with the keys that lead to the other versions."""

    DEFAULT_CSS = """
    BranchNote { height: 1; color: $text-muted; text-style: dim; }
    """

    def __init__(self, branch: Branch) -> None:
        super().__init__(
            f"version {branch.position} of {branch.count}  (Alt+← Alt+→)", markup=False
        )
