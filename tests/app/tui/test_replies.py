"""Replies as they come and what can be done with them, in the whole app."""

import threading
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static

from app.history import History
from app.tui.widgets.empty_state import EmptyState
from app.tui.widgets.error_note import ErrorNote
from app.tui.widgets.live_reply import LiveReply
from app.tui.widgets.notice import Notice
from app.tui.widgets.thinking import Thinking
from app.tui.widgets.user_message import UserMessage
from tests.app.tui.driving import (
    MakeApp,
    Wait,
    answer_sources,
    ask,
    chunk,
    conversation_texts,
    send,
    send_and_see_words,
    shown_text,
    status,
)

pytestmark = pytest.mark.asyncio


async def test_a_message_is_answered_and_both_are_kept(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    script.answers("Hello ", "**world**", ".")
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await ask(pilot, "Hi", wait_until)
        assert shown_text(app, UserMessage) == ["Hi"]
        assert answer_sources(app) == ["Hello **world**."]
        assert not app.screen.query(EmptyState)
        assert app.chat_screen.prompt.text == ""
        assert "60.0 tok/s · 50 / 2,048 · cached 12 · draft 70% · first" in status(app)
        assert script.requests[0]["messages"] == [{"role": "user", "content": "Hi"}]
        (summary,) = history.chats()
        assert (summary.title, summary.model) == ("Hi", "pocket")
        stored = history.read_chat(summary.id).conversation
        assert [m.content for m in stored.messages] == ["Hi", "Hello **world**."]


async def test_a_message_sent_while_the_model_loads_is_answered(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.may_load.clear()
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Hi")
        await wait_until(pilot, lambda: conversation_texts(app) == ["Hi", "Fine."])
        script.may_load.set()


async def test_escape_stops_and_keeps_what_came(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    script.talks_on()
    app = make_app()
    async with app.run_test() as pilot:
        await send_and_see_words(pilot, "Talk", wait_until)
        assert "Esc stops" in status(app)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.chat_screen.is_replying)
        asked, reply = conversation_texts(app)
        assert asked == "Talk"
        assert 0 < reply.count("word") < 500
        assert answer_sources(app)[0].strip() == reply
        assert script.num_closed_midway == 1
        (summary,) = history.chats()
        stored = history.read_chat(summary.id).conversation.messages[-1]
        assert (stored.content, stored.done_reason) == (reply, "cancel")


async def test_escape_before_the_first_word_leaves_no_reply(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.answers("late")
    script.chunk_s = 30.0
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Talk")
        await wait_until(pilot, lambda: app.chat_screen.is_replying and script.requests)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not app.chat_screen.is_replying)
        assert conversation_texts(app) == ["Talk"]
        assert not app.screen.query(ErrorNote)


async def test_thinking_is_folded_and_opens(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.answers(chunk(thinking="Let me "), chunk(thinking="see."), "Four.")
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "2+2?", wait_until)
        thinking = app.screen.query_one(Thinking)
        text = thinking.query_one(".text", Static)
        assert not text.display
        assert "Thought for" in shown_text(app, Thinking)[0]
        await pilot.click("ThinkingTitle")
        assert text.display
        assert str(text.render()) == "Let me see."
        assert conversation_texts(app)[-1] == "Four."
        assert app.chat_screen.chat.conversation.messages[-1].thinking == "Let me see."


async def test_tool_calls_are_shown(make_app: MakeApp, script: Any, wait_until: Wait) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Bern"}}}
    script.answers(chunk(tool_calls=[call]))
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "Weather?", wait_until)
        assert (
            "weather(city='Bern')"
            in shown_text(app, app.screen.query("ToolCallLine").first().__class__)[0]
        )


async def test_a_reply_cut_at_its_limit_says_so(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.answers("Once upon", done_reason="length")
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "Tell", wait_until)
        assert "cut off" in shown_text(app, Notice)[0]


async def test_messages_left_out_of_a_full_context_are_announced_once(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    for _ in range(2):
        script.answers("yes", truncated={"dropped_messages": 2, "dropped_tokens": 300})
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "first", wait_until)
        await ask(pilot, "second", wait_until)
        notices = [n for n in app._notifications if "first 2 messages" in str(n.message)]
        assert len(notices) == 1
        notes = shown_text(app, LiveReply)
        assert all("2 older messages left out" in note for note in notes)


async def test_regenerating_adds_a_version_and_keys_switch(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.answers("one")
    script.answers("two")
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "Say", wait_until)
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: conversation_texts(app) == ["Say", "two"])
        assert script.requests[0] == script.requests[1]
        await wait_until(pilot, lambda: app.screen.query("BranchNote"))
        await pilot.press("alt+left")
        await wait_until(pilot, lambda: answer_sources(app) == ["one"])
        await pilot.press("f4")
        await wait_until(pilot, lambda: answer_sources(app) == ["two"])


async def test_editing_asks_anew_and_returns_the_draft(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "Teh question", wait_until)
        prompt = app.chat_screen.prompt
        prompt.put("a draft")
        await pilot.press("ctrl+e")
        assert prompt.text == "Teh question"
        await pilot.press("escape")
        assert prompt.text == "a draft"
        await pilot.press("ctrl+e")
        await ask(pilot, "The question", wait_until)
        assert prompt.text == "a draft"
        assert conversation_texts(app) == ["The question", "Fine."]
        assert shown_text(app, UserMessage)[0].startswith("The question\nversion 2 of 2")
        assert script.requests[-1]["messages"] == [{"role": "user", "content": "The question"}]


async def test_the_last_reply_is_copied(make_app: MakeApp, script: Any, wait_until: Wait) -> None:
    script.answers("`code` here")
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "Say", wait_until)
        await pilot.press("ctrl+y")
        assert app.clipboard == "`code` here"


async def test_the_palette_copies_code_and_exports(
    make_app: MakeApp, script: Any, wait_until: Wait, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    script.answers("So:\n\n```python\nx = 1\n```\n")
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "Show me", wait_until)
        commands = {c.title: c.callback for c in app.get_system_commands(app.screen)}
        assert {"New chat", "Switch model", "Settings", "Theme", "Quit"} <= set(commands)
        commands["Copy code"]()
        assert app.clipboard == "x = 1"
        commands["Export chat"]()
        exported = (tmp_path / "show-me.md").read_text()
        assert exported.startswith("# Show me\n\n## You\n\nShow me\n\n## pocket\n\nSo:")


async def test_reading_back_is_not_disturbed_by_what_comes(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    more, rest = threading.Event(), threading.Event()
    paragraphs = ["A paragraph.\n\n"] * 20
    script.answers(*paragraphs, more, *paragraphs, rest, *paragraphs)
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Talk")
        transcript = app.chat_screen.transcript
        await wait_until(pilot, lambda: transcript.max_scroll_y > 20)
        assert transcript.scroll_y == transcript.max_scroll_y
        transcript.scroll_page_up(animate=False)
        await wait_until(pilot, lambda: transcript.scroll_y < transcript.max_scroll_y)
        place, length = transcript.scroll_y, transcript.max_scroll_y
        more.set()
        await wait_until(pilot, lambda: transcript.max_scroll_y > length)
        assert transcript.scroll_y == place
        await pilot.press("ctrl+end")
        rest.set()
        await wait_until(pilot, lambda: not app.chat_screen.is_replying)
        await wait_until(pilot, lambda: transcript.scroll_y == transcript.max_scroll_y)
