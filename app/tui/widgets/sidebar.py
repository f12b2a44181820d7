"""Past chats at the left: search, open, rename, delete with a question before."""

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from app.history import ChatSummary, History
from app.tui.chat_list import grouped
from app.tui.screens.confirm import Confirm
from app.tui.screens.rename import Rename
from models.errors import NotFound, StorageError


class ChatOptionList(OptionList):
    """The list; its keys act on the highlighted chat."""

    @dataclass
    class Wanted(Message):
        """`what` is `rename` or `delete`."""

        what: str
        chat_id: int

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "act('rename')", "Rename", id="sidebar.rename"),
        Binding("d,delete", "act('delete')", "Delete", id="sidebar.delete"),
        Binding("slash", "search", "Search", id="sidebar.search", show=False),
    ]

    def action_act(self, what: str) -> None:
        """Ask for the highlighted chat to be renamed or deleted."""
        option = self.highlighted_option
        if option is not None and option.id is not None:
            self.post_message(self.Wanted(what, int(option.id)))

    def action_search(self) -> None:
        """Go to the search field."""
        self.screen.query_one("#chat-search").focus()


class Sidebar(Vertical):
    """Lists what the history holds; renames and deletes there, and says so."""

    DEFAULT_CSS = """
    Sidebar {
        width: 32;
        height: 1fr;
        background: $surface;
        border-right: vkey $panel;
        & > #chat-search {
            border: none;
            height: 1;
            margin: 1 1;
            padding: 0 1;
            background: $boost;
        }
        & > ChatOptionList {
            height: 1fr;
            border: none;
            padding: 0;
            background: $surface;
            scrollbar-size-vertical: 1;
            text-wrap: nowrap;
            text-overflow: ellipsis;
            &:focus { border: none; background-tint: transparent; }
            & > .option-list--option-disabled { color: $text-muted; text-style: italic; }
        }
        & > .hint { height: 1; padding: 0 1; color: $text-muted; text-style: dim; }
    }
    """

    @dataclass
    class ChatChosen(Message):
        """Open this chat."""

        chat_id: int

    @dataclass
    class ChatRenamed(Message):
        """A chat has another title."""

        chat_id: int
        title: str

    @dataclass
    class ChatDeleted(Message):
        """A chat is gone from the history."""

        chat_id: int

    def __init__(self, history: History, current: int | None) -> None:
        super().__init__(id="sidebar")
        self._history = history
        self._current = current

    def compose(self) -> ComposeResult:
        """Search field, list, keys."""
        yield Input(placeholder="Search past chats", id="chat-search")
        yield ChatOptionList(markup=False)
        yield Static("r rename · d delete", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Show what there is."""
        self.show_chats(self._current)

    def show_chats(self, current: int | None) -> None:
        """Read the list anew and mark the open chat."""
        self._current = current
        chats = self._history.search(self.query_one(Input).value)
        options: list[Option] = []
        for label, group in grouped(chats):
            options.append(Option(f"  {label}", disabled=True))
            options += [Option(self._line(chat), id=str(chat.id)) for chat in group]
        if not chats:
            searching = bool(self.query_one(Input).value.strip())
            empty = "Nothing found" if searching else "No chats yet"
            options.append(Option(f"  {empty}", disabled=True))
        chat_list = self.query_one(ChatOptionList)
        chat_list.set_options(options)
        ids = [option.id for option in options]
        if str(current) in ids:
            chat_list.highlighted = ids.index(str(current))
        elif chats:
            chat_list.highlighted = 1

    def focus_list(self) -> None:
        """Go to the list, or to the search field when there is nothing to choose."""
        chat_list = self.query_one(ChatOptionList)
        (chat_list if chat_list.highlighted is not None else self.query_one(Input)).focus()

    def _line(self, chat: ChatSummary) -> Content:
        marker = ("● ", "$text-success") if chat.id == self._current else "  "
        line = Content.assemble(marker, chat.title)
        if chat.excerpt:
            line = Content.assemble(line, "\n  ", (chat.excerpt, "$foreground 60% italic"))
        return line

    @on(Input.Changed, "#chat-search")
    def _search(self) -> None:
        self.show_chats(self._current)

    @on(Input.Submitted, "#chat-search")
    def _go_to_list(self) -> None:
        self.focus_list()

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        assert event.option.id is not None
        self.post_message(self.ChatChosen(int(event.option.id)))

    @on(ChatOptionList.Wanted)
    def _act(self, event: ChatOptionList.Wanted) -> None:
        event.stop()
        try:
            title = self._history.title(event.chat_id)
        except NotFound:
            self.show_chats(self._current)
            return
        if event.what == "rename":
            self.app.push_screen(Rename(title), lambda new: self._rename(event.chat_id, new))
        else:
            question = f"Delete “{title}”? It cannot be brought back."
            self.app.push_screen(
                Confirm("Delete chat", question), lambda yes: self._delete(event.chat_id, yes)
            )

    def _rename(self, chat_id: int, title: str | None) -> None:
        if title is None:
            return
        try:
            self._history.rename(chat_id, title)
        except StorageError as error:
            self.notify(error.message, severity="error")
            return
        self.show_chats(self._current)
        self.post_message(self.ChatRenamed(chat_id, title))

    def _delete(self, chat_id: int, is_sure: bool | None) -> None:
        if not is_sure:
            return
        try:
            self._history.delete(chat_id)
        except StorageError as error:
            self.notify(error.message, severity="error")
            return
        self.show_chats(self._current)
        self.post_message(self.ChatDeleted(chat_id))
