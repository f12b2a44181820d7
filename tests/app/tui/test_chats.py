"""Past chats, the model of a chat and its settings, in the whole app."""

from typing import Any

import pytest
from textual.widgets import Input, OptionList

from app.history import History
from app.tui.conversation import Message
from app.tui.screens.chat import ChatScreen
from app.tui.screens.confirm import Confirm
from app.tui.screens.model_picker import ModelPicker
from app.tui.screens.settings import SettingsDialog
from app.tui.widgets.empty_state import EmptyState
from app.tui.widgets.sidebar import Sidebar
from app.tui.widgets.transcript import EarlierMessages
from app.tui.widgets.user_message import UserMessage
from tests.app.tui.driving import (
    MakeApp,
    Wait,
    answer_sources,
    ask,
    conversation_texts,
    send_and_see_words,
    shown_text,
)

pytestmark = pytest.mark.asyncio


async def test_a_new_chat_stops_and_keeps_the_reply_that_was_coming(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    script.talks_on()
    app = make_app()
    async with app.run_test() as pilot:
        await send_and_see_words(pilot, "Talk", wait_until)
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: app.screen.query(EmptyState))
        assert conversation_texts(app) == []
        (summary,) = history.chats()
        reply = history.read_chat(summary.id).conversation.messages[-1]
        assert reply.role == "assistant"
        assert "word" in reply.content


async def test_past_chats_are_searched_opened_renamed_and_deleted(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    script.answers("About cats.")
    script.answers("About trees.")
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(pilot, "Cats?", wait_until)
        await pilot.press("ctrl+n")
        await ask(pilot, "Trees?", wait_until)
        await pilot.press("ctrl+b")
        await wait_until(pilot, lambda: app.screen.query(Sidebar))
        chats = app.screen.query_one("Sidebar OptionList", OptionList)
        assert chats.has_focus
        await pilot.press("slash", *"about ca")
        await wait_until(pilot, lambda: chats.option_count == 2)
        await pilot.press("enter", "enter")
        await wait_until(pilot, lambda: conversation_texts(app) == ["Cats?", "About cats."])
        assert answer_sources(app) == ["About cats."]

        chats.focus()
        await pilot.press("r")
        await pilot.pause()
        app.screen.query_one(Input).value = "Felines"
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.chat_screen.chat.title == "Felines")

        chats.focus()
        await pilot.press("d")
        await pilot.pause()
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        assert len(history.chats()) == 2
        chats.focus()
        await pilot.press("d")
        await pilot.pause()
        await pilot.press("y")
        await wait_until(pilot, lambda: conversation_texts(app) == [])
        assert [chat.title for chat in history.chats()] == ["Trees?"]
        await pilot.press("ctrl+b")
        await wait_until(pilot, lambda: not app.screen.query(Sidebar))


async def test_the_model_is_switched_in_the_middle_of_a_chat(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    script.tags = [
        {"name": "pocket:latest", "size": 31_000_000},
        {"name": "qwen3:8b", "size": 4_920_000_000},
    ]
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "Hi", wait_until)
        await pilot.press("ctrl+o")
        await wait_until(pilot, lambda: isinstance(app.screen, ModelPicker))
        options = app.screen.query_one(OptionList)
        await wait_until(pilot, lambda: options.option_count == 2)
        await pilot.press(*"qwen")
        await wait_until(pilot, lambda: options.option_count == 1)
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.model.phase == "ready" and app.model.name == "qwen3:8b")
        await ask(pilot, "And now?", wait_until)
        assert script.requests[-1]["model"] == "qwen3:8b"
        assert len(script.requests[-1]["messages"]) == 3
        assert app.chat_screen.chat.conversation.messages[-1].model == "qwen3:8b"
        assert history.chats()[0].model == "qwen3:8b"
        assert history.preference("last_model") == "qwen3:8b"


async def test_settings_are_checked_used_and_remembered(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f2")
        await wait_until(pilot, lambda: isinstance(app.screen, SettingsDialog))
        await pilot.press(*"hot")
        assert app.screen.query_one("#temperature").has_class("-invalid")
        await pilot.press("enter")
        assert isinstance(app.screen, SettingsDialog)
        app.screen.query_one("#temperature", Input).value = "0"
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, ChatScreen))
        await ask(pilot, "Hi", wait_until)
        assert script.requests[0]["options"] == {"temperature": 0.0}
        assert history.preference("options")["temperature"] == 0.0
    again = make_app()
    assert again.chat_screen.chat.options.temperature == 0.0


async def test_a_long_past_chat_is_drawn_from_its_end_in_steps(
    make_app: MakeApp, history: History, wait_until: Wait
) -> None:
    chat_id = history.add_chat("Long", "pocket", {})
    for place in range(24):
        role = "assistant" if place % 2 else "user"
        parent = place - 1 if place else None
        history.add_message(chat_id, place, Message(role, f"message {place}", parent))
    app = make_app()
    async with app.run_test() as pilot:
        await app.chat_screen.open_past(chat_id)
        transcript = app.chat_screen.transcript
        assert shown_text(app, UserMessage)[0] == "message 14"
        assert shown_text(app, EarlierMessages) == ["↑ 14 earlier messages"]
        await wait_until(pilot, lambda: transcript.scroll_y == transcript.max_scroll_y > 0)
        await pilot.press("ctrl+home")
        await wait_until(pilot, lambda: transcript.scroll_y == 0)
        await pilot.press("pageup")
        await wait_until(pilot, lambda: shown_text(app, UserMessage)[0] == "message 4")
        await wait_until(pilot, lambda: transcript.scroll_y > 0)
        for _ in range(2):
            await pilot.press("ctrl+home")
            await pilot.pause()
        await wait_until(pilot, lambda: len(app.screen.query(UserMessage)) == 12)
        assert not app.screen.query(EarlierMessages)
