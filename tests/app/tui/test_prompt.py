"""What is typed into the prompt, in the whole app."""

import pytest
from textual import events

from app.tui.widgets.empty_state import Example
from tests.app.tui.driving import MakeApp, Wait, ask, conversation_texts

pytestmark = pytest.mark.asyncio


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
