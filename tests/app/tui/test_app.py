"""The whole app in front of a canned daemon, driven by keys."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import Input, Markdown, OptionList, Static

from app.history import History
from app.tui.app import ChatApp
from app.tui.conversation import Message
from app.tui.screens.chat import ChatScreen
from app.tui.screens.confirm import Confirm
from app.tui.screens.help import Help
from app.tui.screens.model_picker import ModelPicker
from app.tui.screens.settings import SettingsDialog
from app.tui.widgets.empty_state import EmptyState, Example
from app.tui.widgets.error_note import ErrorNote
from app.tui.widgets.live_reply import LiveReply
from app.tui.widgets.notice import Notice
from app.tui.widgets.sidebar import Sidebar
from app.tui.widgets.status_line import StatusLine
from app.tui.widgets.thinking import Thinking
from app.tui.widgets.transcript import EarlierMessages
from app.tui.widgets.user_message import UserMessage
from models.errors import Busy, InvalidInput, NotFound

pytestmark = pytest.mark.asyncio

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


async def ask(pilot: Any, text: str, wait_until: Wait) -> None:
    """Send a message and wait for the end of its reply."""
    count = len(pilot.app.chat_screen.chat.conversation.messages)
    await send(pilot, text)
    chat = pilot.app.chat_screen
    await wait_until(
        pilot, lambda: len(chat.chat.conversation.messages) == count + 2 and not chat.is_replying
    )


async def test_the_first_frame_does_not_wait_for_the_model(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.may_load.clear()
    app = make_app()
    async with app.run_test() as pilot:
        await wait_until(pilot, lambda: app.model.phase == "loading")
        assert app.chat_screen.prompt.has_focus
        assert len(app.screen.query(Example)) == 4
        assert "pocket loading" in status(app)
        script.may_load.set()
        await wait_until(pilot, lambda: app.model.phase == "ready")
        assert "pocket Q8_0" in status(app)
        assert "0 / 2,048" in status(app)


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


async def test_enter_sends_and_other_keys_break_the_line(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        prompt = app.chat_screen.prompt
        height = prompt.size.height
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c")
        assert prompt.text == "a\nb\nc"
        await pilot.pause()
        assert prompt.size.height == height + 2
        await pilot.press("enter")
        await pilot.pause()
        assert prompt.text == ""
        assert prompt.size.height == height


async def test_enter_waits_for_the_letters_before_it(make_app: MakeApp, wait_until: Wait) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        for key in (*"quick", "enter"):
            app.post_message(events.Key(key, None if key == "enter" else key))
        await wait_until(pilot, lambda: conversation_texts(app) == ["quick", "Fine."])


async def test_letters_typed_elsewhere_go_to_the_prompt(
    make_app: MakeApp, wait_until: Wait
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        app.screen.set_focus(None)
        await pilot.press(*"ab", "enter")
        await wait_until(pilot, lambda: conversation_texts(app) == ["ab", "Fine."])
        app.chat_screen.transcript.focus()
        await pilot.press(*"cd")
        assert app.chat_screen.prompt.text == "cd"


async def test_what_was_typed_before_the_first_frame_is_there(
    make_app: MakeApp, wait_until: Wait
) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        for key, letter in (("a", "a"), ("space", " "), ("b", "b")):
            app.chat_screen.post_message(events.Key(key, letter))
        await wait_until(pilot, lambda: app.chat_screen.prompt.text == "a b")


async def test_a_blank_prompt_is_not_sent(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("space", "enter")
        assert conversation_texts(app) == []


async def test_escape_stops_and_keeps_what_came(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    script.answers(*["word "] * 500)
    script.chunk_s = 0.02
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Talk")
        await wait_until(
            pilot, lambda: answer_sources(app) and answer_sources(app)[0].count("word")
        )
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


async def test_an_error_in_the_middle_keeps_the_beginning_and_what_is_being_typed(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.answers("A begin", Busy("the worker ended", hint="try a smaller model"))
    script.chunk_s = 0.05
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Talk")
        app.chat_screen.prompt.put("my next question")
        await wait_until(pilot, lambda: app.screen.query(ErrorNote))
        assert shown_text(app, ErrorNote) == [error_text("the worker ended", "try a smaller model")]
        assert conversation_texts(app) == ["Talk", "A begin"]
        assert app.chat_screen.prompt.text == "my next question"


async def test_an_error_at_once_can_be_tried_again(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.answers(InvalidInput("too long"))
    script.answers("Now it works.")
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Talk")
        await wait_until(pilot, lambda: app.screen.query(ErrorNote))
        assert conversation_texts(app) == ["Talk"]
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: conversation_texts(app) == ["Talk", "Now it works."])
        assert not app.screen.query(ErrorNote)


async def test_a_stream_that_just_ends_is_an_error(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.replies.append([chunk(content="half a")])
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Talk")
        await wait_until(pilot, lambda: app.screen.query(ErrorNote))
        assert "broke off" in shown_text(app, ErrorNote)[0]
        assert conversation_texts(app) == ["Talk", "half a"]


async def test_a_lost_daemon_is_connected_anew(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.answers(Busy("connection refused"))
    app = make_app()
    async with app.run_test() as pilot:
        await wait_until(pilot, lambda: app.model.phase == "ready")
        script.is_up = False
        await send(pilot, "Talk")
        await wait_until(pilot, lambda: app.screen.query(ErrorNote))
        assert script.num_connections == 1
        await wait_until(pilot, lambda: app.model.phase == "failed")
        script.is_up = True
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: conversation_texts(app) == ["Talk", "Fine."])
        await wait_until(pilot, lambda: app.model.phase == "ready")
        assert script.num_connections == 2


async def test_without_a_daemon_the_app_says_so_and_tries_again(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.connect_error = NotFound("no daemon", hint="free the port")
    app = make_app()
    async with app.run_test() as pilot:
        await wait_until(pilot, lambda: app.model.phase == "failed")
        assert shown_text(app, ErrorNote) == [error_text("no daemon", "free the port")]
        script.connect_error = None
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: app.model.phase == "ready")


async def test_a_remembered_model_that_is_gone_gives_way_to_the_bundled_one(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    history.set_preference("last_model", "gone")
    script.load_error = NotFound("model 'gone' not found")
    script.may_load.clear()
    app = make_app()
    async with app.run_test() as pilot:
        assert app.model.name == "gone"
        script.may_load.set()
        await wait_until(pilot, lambda: app.model.name == "pocket")


async def test_a_model_that_was_asked_for_is_not_replaced(
    make_app: MakeApp, script: Any, wait_until: Wait
) -> None:
    script.load_error = NotFound("model 'gone' not found", hint="localllm list")
    app = make_app("gone")
    async with app.run_test() as pilot:
        await wait_until(pilot, lambda: app.model.phase == "failed")
        assert app.model.name == "gone"
        assert "not found" in shown_text(app, ErrorNote)[0]


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


async def test_up_brings_back_what_was_sent(make_app: MakeApp, wait_until: Wait) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await ask(pilot, "first", wait_until)
        await ask(pilot, "second", wait_until)
        prompt = app.chat_screen.prompt
        await pilot.press("up")
        assert prompt.text == "second"
        await pilot.press("up")
        assert prompt.text == "first"
        await pilot.press("down", "down")
        assert prompt.text == ""


async def test_an_example_goes_into_the_prompt(make_app: MakeApp) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.click(Example)
        assert app.chat_screen.prompt.text == "What can you do?"
        assert app.chat_screen.prompt.has_focus


async def test_a_new_chat_stops_and_keeps_the_reply_that_was_coming(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    script.answers(*["word "] * 500)
    script.chunk_s = 0.02
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Talk")
        await wait_until(pilot, lambda: any("word" in s for s in answer_sources(app)))
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


async def test_help_shows_the_keys(make_app: MakeApp, wait_until: Wait) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("f1")
        await wait_until(pilot, lambda: isinstance(app.screen, Help))
        assert "Ctrl+R" in shown_text(app, Static)[0]
        await pilot.press("escape")
        assert isinstance(app.screen, ChatScreen)


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


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (40, 12), (20, 8)])
async def test_any_size_will_do(
    make_app: MakeApp, script: Any, wait_until: Wait, size: tuple[int, int]
) -> None:
    script.answers("| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n```\n", "word " * 60)
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await ask(pilot, "A question " * 10, wait_until)
        for key in ("ctrl+b", "ctrl+o", "escape", "f2", "escape", "f1", "escape", "ctrl+b"):
            await pilot.press(key)
        await pilot.resize_terminal(size[1] * 2, size[0] // 2)
        await pilot.pause()
        assert app.chat_screen.prompt.size.height >= 1
        assert app.screen.query_one(StatusLine).size.height == 1


async def test_quitting_in_the_middle_of_a_reply_keeps_it_and_does_not_hang(
    make_app: MakeApp, script: Any, history: History, wait_until: Wait
) -> None:
    script.answers(*["word "] * 500)
    script.chunk_s = 0.02
    app = make_app()
    async with app.run_test() as pilot:
        await send(pilot, "Talk")
        await wait_until(pilot, lambda: any("word" in s for s in answer_sources(app)))
        await pilot.press("ctrl+q")
    app.connection.close()
    assert "word" in history.read_chat(1).conversation.messages[-1].content
