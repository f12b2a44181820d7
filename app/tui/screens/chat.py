"""The chat screen: the commands on a chat, and the past chats at its left."""

from typing import ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.widgets import OptionList

from app.tui.chat import Chat
from app.tui.chat_options import ChatOptions
from app.tui.keys import COMMANDS, MOVES
from app.tui.screens.reply_flow import ReplyFlow
from app.tui.widgets.empty_state import Example
from app.tui.widgets.prompt import Prompt
from app.tui.widgets.sidebar import Sidebar
from models.errors import UserError

NARROW = 100
"""Below so many columns past chats take fewer."""


class ChatScreen(ReplyFlow):
    """What the keys do."""

    DEFAULT_CSS = """
    ChatScreen.-narrow Sidebar { width: 26; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(key.binding() for key in (*COMMANDS, *MOVES)),
        Binding("escape", "back", "Stop", id="chat.stop", show=False),
    ]

    def on_resize(self, event: events.Resize) -> None:
        """Leave the transcript its room beside the past chats."""
        self.set_class(event.size.width < NARROW, "-narrow")

    def on_key(self, event: events.Key) -> None:
        """What is typed where nothing takes letters goes to the prompt.

        So does what was typed before the first frame. Fields that take letters let none through.
        """
        if isinstance(self.focused, OptionList):
            return
        was_meant_for_prompt = isinstance(self.focused, Prompt | None)
        if event.is_printable and (event.key != "space" or was_meant_for_prompt):
            assert event.character is not None
            event.stop()
            self.prompt.focus()
            self.prompt.insert(event.character)
        elif event.key in ("enter", "ctrl+j") and was_meant_for_prompt:
            event.stop()
            self.prompt.submit()

    def after_change(self) -> None:
        """Also the list of past chats."""
        super().after_change()
        if sidebar := self._sidebar():
            sidebar.show_chats(self.chat.id)

    async def action_back(self) -> None:
        """Stop the reply, else leave editing, else return to the prompt."""
        if not self.stop() and self.prompt.has_focus:
            self.prompt.leave_editing()
        self.prompt.focus()

    async def action_new_chat(self) -> None:
        """Begin an empty chat with the same model and options."""
        await self.open(Chat(self._history, self.chat.model, self.chat.options))

    async def action_regenerate(self) -> None:
        """Ask for another reply to the last message; after a failure, once more."""
        if self.is_replying:
            self.notify("Esc stops the reply that is coming", timeout=3)
            return
        if self.chat.conversation.leaf is None:
            if self.model.phase == "failed":
                self.post_message(self.LoadWanted(self.chat.model))
            else:
                self.notify("There is nothing to answer yet", timeout=3)
            return
        self.chat.step_back()
        await self.transcript.show(self.chat.conversation)
        await self.ask_for_reply()

    def action_edit(self) -> None:
        """Put the last message into the prompt; sending it makes another version."""
        place = self.chat.conversation.last("user")
        if self.is_replying or place is None:
            text = "Esc stops the reply first" if self.is_replying else "There is nothing to edit"
            self.notify(text, timeout=3)
            return
        self.prompt.edit_message(place, self.chat.conversation.messages[place].content)
        self.prompt.focus()

    def action_copy(self) -> None:
        """Copy the last reply's Markdown."""
        place = self.chat.conversation.last("assistant")
        if place is None:
            self.notify("There is no reply to copy yet", timeout=3)
            return
        text = self.chat.conversation.messages[place].content
        self.app.copy_to_clipboard(text)
        self.notify(f"Copied {len(text):,} characters", timeout=2)

    async def action_previous_branch(self) -> None:
        """Show the version of a message before this one."""
        await self._switch_branch(-1)

    async def action_next_branch(self) -> None:
        """Show the version of a message after this one."""
        await self._switch_branch(1)

    async def _switch_branch(self, step: int) -> None:
        if not self.is_replying and self.chat.switch_branch(step):
            await self.transcript.show(self.chat.conversation)
            self.after_change()

    async def action_read_back(self) -> None:
        """Read back; at the top, draw what came before."""
        if self.transcript.scroll_y == 0:
            await self.transcript.show_earlier()
        self.transcript.scroll_page_up()

    def action_read_on(self) -> None:
        """Read on."""
        self.transcript.scroll_page_down()

    async def action_scroll_to_start(self) -> None:
        """To the first message that is drawn; once there, a step further back."""
        if self.transcript.scroll_y == 0:
            await self.transcript.show_earlier()
        else:
            self.transcript.scroll_home(animate=False)

    def action_scroll_to_end(self) -> None:
        """To the last message, and follow what comes."""
        self.transcript.anchor()

    async def open(self, chat: Chat) -> None:
        """Show another chat; a reply that is coming is stopped and kept."""
        await self.settle()
        self.prompt.leave_editing()
        self.chat = chat
        await self.transcript.show(chat.conversation)
        self.after_change()
        self.prompt.focus()
        if chat.model != self.model.name:
            self.post_message(self.LoadWanted(chat.model))

    async def action_toggle_sidebar(self) -> None:
        """Show past chats and go to them, or hide them."""
        if sidebar := self._sidebar():
            await sidebar.remove()
            self.prompt.focus()
            return
        sidebar = Sidebar(self._history, self.chat.id)
        await self.query_one("#body").mount(sidebar, before=0)
        sidebar.focus_list()

    def _sidebar(self) -> Sidebar | None:
        return next(iter(self.query(Sidebar)), None)

    async def open_past(self, chat_id: int) -> None:
        """Show a chat of the history."""
        if chat_id == self.chat.id:
            self.prompt.focus()
            return
        try:
            await self.open(Chat.read(self._history, chat_id))
        except UserError as error:
            self.notify(error.message, severity="warning")
            self.after_change()

    @on(Example.Chosen)
    def _try_example(self, event: Example.Chosen) -> None:
        self.prompt.put(event.text)
        self.prompt.focus()

    @on(Sidebar.ChatChosen)
    async def _open_past(self, event: Sidebar.ChatChosen) -> None:
        await self.open_past(event.chat_id)

    @on(Sidebar.ChatRenamed)
    def _rename(self, event: Sidebar.ChatRenamed) -> None:
        if event.chat_id == self.chat.id:
            self.chat.title = event.title
            self.after_change()

    @on(Sidebar.ChatDeleted)
    async def _leave_deleted(self, event: Sidebar.ChatDeleted) -> None:
        if event.chat_id == self.chat.id:
            await self.action_new_chat()

    def use_options(self, options: ChatOptions) -> None:
        """Ask for the next replies with other options."""
        self.chat.change(self.chat.model, options)
        self.after_change()
