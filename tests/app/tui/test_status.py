import pytest

from app.tui.conversation import Message, ReplyStats
from app.tui.status import (
    Segment,
    cut_note,
    fit,
    format_context,
    format_rate,
    format_seconds,
    is_nearly_full,
    reply_note,
    usage_segments,
)


def test_segments_of_high_rank_give_way_first() -> None:
    segments = [Segment("speed"), Segment("context", 1), Segment("cached", 2)]
    assert fit(segments, 40) == "speed · context · cached"
    assert fit(segments, 18) == "speed · context"
    assert fit(segments, 8) == "speed"
    assert fit(segments, 3) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12 ms"), (0.9999, "1.0 s"), (12.34, "12.3 s"), (125.0, "2 min 5 s")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_speed_and_context_are_short() -> None:
    assert format_rate(21.345) == "21.3 tok/s"
    assert format_rate(345.6) == "346 tok/s"
    assert format_rate(None) == ""
    assert format_context(1200, 8192) == "1,200 / 8,192"
    assert format_context(1200, None) == "1,200 tokens"


def test_usage_shows_what_there_is() -> None:
    stats = ReplyStats(100, 80, 50, 2.0, 40, 30, ttft_s=0.2)
    texts = [segment.text for segment in usage_segments(stats, 2048)]
    assert texts == ["150 / 2,048", "cached 80", "draft 75%", "first 200 ms"]
    assert [s.text for s in usage_segments(ReplyStats(10, 0, 5), None)] == ["15 tokens"]


def test_the_context_is_nearly_full_above_nine_tenths() -> None:
    assert is_nearly_full(950, 1000)
    assert not is_nearly_full(900, 1000)
    assert not is_nearly_full(950, None)


def test_the_note_says_how_a_reply_ended() -> None:
    stats = ReplyStats(100, num_output_tokens=50, decode_s=2.0, ttft_s=0.2)
    whole = Message("assistant", "x", model="pocket", done_reason="stop", stats=stats)
    assert reply_note(whole) == "pocket · 50 tokens · 25.0 tok/s · first after 200 ms"
    assert reply_note(Message("assistant", "x", model="pocket", done_reason="cancel")) == (
        "pocket · stopped"
    )
    counted = Message("assistant", "x", model="pocket", stats=ReplyStats(num_output_tokens=5))
    assert reply_note(counted) == "pocket · ~5 tokens"
    short = Message("assistant", "x", model="pocket", num_dropped_messages=4)
    assert reply_note(short) == "pocket · 4 older messages left out"


def test_a_cut_reply_is_announced() -> None:
    assert "cut off" in cut_note(Message("assistant", "x", done_reason="length"))
    assert cut_note(Message("assistant", "x", done_reason="stop")) == ""
