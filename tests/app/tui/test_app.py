"""The whole app in front of a canned daemon: its first frame, its sizes, its end."""

from typing import Any

import pytest
from textual.widgets import Static

from app.history import History
from app.tui.screens.chat import ChatScreen
from app.tui.screens.help import Help
from app.tui.widgets.empty_state import Example
from app.tui.widgets.status_line import StatusLine
from tests.app.tui.driving import (
    MakeApp,
    Wait,
    ask,
    send_and_see_words,
    shown_text,
    status,
)

pytestmark = pytest.mark.asyncio


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


async def test_help_shows_the_keys(make_app: MakeApp, wait_until: Wait) -> None:
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("f1")
        await wait_until(pilot, lambda: isinstance(app.screen, Help))
        assert "Ctrl+R" in shown_text(app, Static)[0]
        await pilot.press("escape")
        assert isinstance(app.screen, ChatScreen)


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
    script.talks_on()
    app = make_app()
    async with app.run_test() as pilot:
        await send_and_see_words(pilot, "Talk", wait_until)
        await pilot.press("ctrl+q")
    app.connection.close()
    assert "word" in history.read_chat(1).conversation.messages[-1].content
