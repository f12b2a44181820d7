"""Driving the whole app by keys and reading what it shows."""

from collections.abc import Callable
from typing import Any

from textual.widgets import Markdown, Static

from app.tui.app import ChatApp
from app.tui.widgets.status_line import StatusLine

MakeApp = Callable[..., ChatApp]
Wait = Callable[..., Any]


def chunk(**message: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": ""} | message, "done": False}


def error_text(message: str, hint: str) -> str:
    return f"error: {message}\nhint: {hint}\nCtrl+R tries again"


def shown_text(app: ChatApp, widget_type: type[Any]) -> list[str]:
    """What the widgets of a kind say, as plain text."""
    texts = []
    for widget in app.screen.query(widget_type):
        lines = widget.query(Static) if not isinstance(widget, Static) else [widget]
        texts.append("\n".join(str(line.render()) for line in lines))
    return texts


def answer_sources(app: ChatApp) -> list[str]:
    return [markdown.source for markdown in app.screen.query(Markdown)]


def status(app: ChatApp) -> str:
    return str(app.chat_screen.query_one(StatusLine).render())


def conversation_texts(app: ChatApp) -> list[str]:
    conversation = app.chat_screen.chat.conversation
    return [conversation.messages[place].content for place in conversation.path()]


async def send(pilot: Any, text: str) -> None:
    pilot.app.chat_screen.prompt.put(text)
    await pilot.press("enter")


async def send_and_see_words(pilot: Any, text: str, wait_until: Wait) -> None:
    """Send a message and wait for the first words of its reply."""
    await send(pilot, text)
    await wait_until(pilot, lambda: any("word" in s for s in answer_sources(pilot.app)))


async def ask(pilot: Any, text: str, wait_until: Wait) -> None:
    """Send a message and wait for the end of its reply."""
    count = len(pilot.app.chat_screen.chat.conversation.messages)
    await send(pilot, text)
    chat = pilot.app.chat_screen
    await wait_until(
        pilot, lambda: len(chat.chat.conversation.messages) == count + 2 and not chat.is_replying
    )
