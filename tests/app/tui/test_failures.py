"""Errors, lost daemons and missing models, in the whole app."""

from typing import Any

import pytest

from app.history import History
from app.tui.widgets.error_note import ErrorNote
from models.errors import Busy, InvalidInput, NotFound
from tests.app.tui.driving import (
    MakeApp,
    Wait,
    chunk,
    conversation_texts,
    error_text,
    send,
    shown_text,
)

pytestmark = pytest.mark.asyncio


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
