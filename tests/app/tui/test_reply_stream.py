import threading
import time
from collections.abc import Iterator
from typing import Any

from app.tui.pending_reply import PendingReply
from app.tui.reply_stream import ReplyStream, ReplyUpdate
from models.errors import Busy


def chunk(content: str = "", **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **more}, "done": False}


FINAL = {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 9}


def drain(stream: ReplyStream, *, timeout_s: float = 10.0) -> list[ReplyUpdate]:
    """All updates up to the last."""
    deadline = time.monotonic() + timeout_s
    updates = [stream.take()]
    while not updates[-1].done:
        assert time.monotonic() < deadline
        time.sleep(0.002)
        updates.append(stream.take())
    return updates


def ignore() -> None:
    pass


def test_text_and_thinking_are_collected_once_and_the_end_has_figures() -> None:
    parts = [chunk(thinking="hm"), chunk("Hel"), chunk("lo"), FINAL]
    updates = drain(ReplyStream(lambda: iter(parts), ignore))
    assert "".join(update.content for update in updates) == "Hello"
    assert "".join(update.thinking for update in updates) == "hm"
    last = updates[-1]
    assert (last.done_reason, last.error) == ("stop", None)
    assert last.stats is not None
    assert last.stats.num_prompt_tokens == 9
    assert last.stats.ttft_s is not None


def test_progress_of_a_long_prompt_is_passed_on() -> None:
    read = threading.Event()

    def chunks() -> Iterator[dict[str, Any]]:
        yield chunk() | {"progress": {"prompt_tokens_computed": 512}}
        read.wait(10)
        yield FINAL

    stream = ReplyStream(chunks, ignore)
    while stream.num_prompt_tokens_read == 0:
        time.sleep(0.002)
    assert stream.num_prompt_tokens_read == 512
    assert stream.ttft_s is None
    read.set()
    assert drain(stream)[-1].stats is not None


def test_a_stopped_reply_ends_at_once_and_keeps_its_text() -> None:
    closed, begun = threading.Event(), threading.Event()

    def chunks() -> Iterator[dict[str, Any]]:
        yield chunk("so far")
        begun.set()
        closed.wait(10)
        raise OSError("socket closed")

    stream = ReplyStream(chunks, closed.set)
    begun.wait(10)
    stream.stop()
    pending = PendingReply(stream, "pocket")
    update = stream.take()
    pending.add(update)
    assert update.done
    assert update.error is None
    message = pending.message(update)
    assert message is not None
    assert (message.content, message.done_reason) == ("so far", "cancel")
    assert message.stats is not None
    assert message.stats.num_output_tokens == 1


def test_an_error_is_the_last_update() -> None:
    def chunks() -> Iterator[dict[str, Any]]:
        yield chunk("half")
        raise Busy("no memory", hint="smaller model")

    updates = drain(ReplyStream(chunks, ignore))
    assert "".join(update.content for update in updates) == "half"
    assert updates[-1].error is not None
    assert updates[-1].error.hint == "smaller model"


def test_nothing_at_all_is_no_message() -> None:
    def chunks() -> Iterator[dict[str, Any]]:
        raise Busy("no memory")
        yield FINAL

    stream = ReplyStream(chunks, ignore)
    (*_, last) = drain(stream)
    assert PendingReply(stream, "pocket").message(last) is None
