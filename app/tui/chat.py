"""The open chat: its conversation, model and options, kept in step with the history.

It decides what a reply is asked for; it neither talks to the daemon nor draws.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.history import History
from app.tui.chat_options import ChatOptions, parse_options
from app.tui.conversation import Conversation, Message, make_title, request_messages
from models.errors import InvalidInput, StorageError


class Chat:
    """One chat. It enters the history with its first message, so empty chats leave no trace."""

    def __init__(self, history: History, model: str, options: ChatOptions) -> None:
        self._history = history
        self.id: int | None = None
        self.title = "New chat"
        self.model = model
        self.options = options
        self.conversation = Conversation()
        self.problem: StorageError | None = None
        """Why this chat is no longer saved; the screen says it once and clears it."""
        self._is_saved = True

    @classmethod
    def read(cls, history: History, chat_id: int) -> "Chat":
        """A past chat as it was left.

        Raises:
            NotFound: it was deleted meanwhile.
        """
        stored = history.read_chat(chat_id)
        chat = cls(history, stored.model, parse_options(stored.options))
        chat.id = stored.id
        chat.title = stored.title
        chat.conversation = stored.conversation
        return chat

    @property
    def awaits_reply(self) -> bool:
        """Whether the last shown message is the user's."""
        leaf = self.conversation.leaf
        return leaf is not None and self.conversation.messages[leaf].role == "user"

    def ask(self, text: str, *, instead_of: int | None = None) -> None:
        """Add the user's message, or another version of the one at `instead_of`."""
        if instead_of is not None:
            parent = self.conversation.messages[instead_of].parent
            self.conversation = self.conversation.at(parent)
        if not self.conversation.messages:
            self.title = make_title(text)
        self._add(Message(role="user", content=text))

    def answer(self, reply: Message) -> None:
        """Add the model's reply."""
        self._add(reply)

    def _add(self, message: Message) -> None:
        self.conversation = self.conversation.add(message)
        place = self.conversation.leaf
        assert place is not None
        with self._saving():
            if self.id is None:
                options = dataclasses.asdict(self.options)
                self.id = self._history.add_chat(self.title, self.model, options)
            self._history.add_message(self.id, place, self.conversation.messages[place])

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """A chat that cannot be written goes on unsaved: a gap would spoil what is stored."""
        if not self._is_saved:
            return
        try:
            yield
        except StorageError as error:
            self._is_saved, self.problem = False, error

    def step_back(self) -> None:
        """Go back to before the last reply, so that another one can be asked for.

        Raises:
            InvalidInput: there is no message to reply to.
        """
        place = self.conversation.last("user")
        if place is None:
            raise InvalidInput("there is nothing to answer yet", hint="write a message first")
        self.conversation = self.conversation.at(place)

    def switch_branch(self, step: int) -> bool:
        """Show another version of the lowest message that has some; False when none has."""
        switched = self.conversation.switched(step)
        if switched is self.conversation:
            return False
        self.conversation = switched
        if self.id is not None:
            with self._saving():
                self._history.set_leaf(self.id, switched.leaf)
        return True

    def change(self, model: str, options: ChatOptions) -> None:
        """Go on with another model or other options."""
        self.model, self.options = model, options
        if self.id is not None:
            with self._saving():
                self._history.set_model(self.id, model, dataclasses.asdict(options))

    def request(self) -> dict[str, Any]:
        """The body of `/api/chat` that asks for the next reply."""
        return {
            "model": self.model,
            "messages": request_messages(self.conversation, self.options.system),
            "stream": True,
            **self.options.request_fields(),
        }
