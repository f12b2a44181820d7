"""The keys of the chat screen, in the order the help shows them."""

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True)
class Key:
    """One command: its key, its action on the chat screen, and what it is for."""

    keys: str
    action: str
    label: str = ""
    """Its name in the command palette."""
    description: str = ""
    shown: str = ""
    """How help writes the key; empty: no line in the help."""

    def binding(self) -> Binding:
        """The Textual binding; its id lets users remap it."""
        return Binding(
            self.keys,
            self.action,
            self.label,
            id=f"chat.{self.action.removeprefix('app.')}",
            show=False,
            priority=True,
            tooltip=self.description,
        )


COMMANDS = (
    Key("ctrl+n", "new_chat", "New chat", "Begin an empty chat", "Ctrl+N"),
    Key("ctrl+o", "app.pick_model", "Switch model", "Go on with another model", "Ctrl+O"),
    Key("ctrl+b", "toggle_sidebar", "Past chats", "Show or hide past chats", "Ctrl+B"),
    Key("ctrl+r", "regenerate", "Regenerate", "Ask for another reply", "Ctrl+R"),
    Key("ctrl+e", "edit", "Edit message", "Edit your last message", "Ctrl+E"),
    Key("ctrl+y", "copy", "Copy reply", "Copy the last reply", "Ctrl+Y"),
    Key("f2", "app.settings", "Settings", "Sampling, length, system prompt", "F2"),
    Key("f1", "app.show_keys", "Help", "Show the keys", "F1"),
)
"""What the command palette offers too."""

MOVES = (
    Key("alt+left,f3", "previous_branch", "", "Other versions of a message", "Alt+← Alt+→"),
    Key("alt+right,f4", "next_branch"),
    Key("pageup", "read_back", "", "Read back and on", "PgUp PgDn"),
    Key("pagedown", "read_on"),
    Key("ctrl+home", "scroll_to_start", "", "To the first message", "Ctrl+Home"),
    Key("ctrl+end", "scroll_to_end", "", "To the last, and follow", "Ctrl+End"),
)

WRITING = (
    ("Enter", "Send"),
    ("Shift+Enter, Ctrl+J", "Break the line"),
    ("Esc", "Stop the reply, or leave editing"),
    ("↑ ↓", "What you sent, in an empty prompt"),
    ("Tab", "To thinking, chats, examples"),
)
"""Keys that other widgets bind, for the help."""
