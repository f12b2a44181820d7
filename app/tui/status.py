"""The words of the status line: which figures are shown, and which give way when it is narrow."""

from dataclasses import dataclass

from app.tui.conversation import INTERRUPTED, STOPPED_BY_USER, Message, ReplyStats
from app.tui.model_state import display_name


@dataclass(frozen=True)
class Segment:
    """A piece of the status line; the one with the highest `rank` gives way first."""

    text: str
    rank: int = 0


def fit(segments: list[Segment], width: int, separator: str = " · ") -> str:
    """The segments that fit into `width` cells, in their order."""
    kept = [segment for segment in segments if segment.text]
    while kept and len(separator.join(s.text for s in kept)) > width:
        kept.remove(max(kept, key=lambda segment: segment.rank))
    return separator.join(segment.text for segment in kept)


def format_rate(tokens_per_s: float | None) -> str:
    """Tokens per second with as many digits as mean something."""
    if tokens_per_s is None:
        return ""
    digits = 1 if tokens_per_s < 100 else 0
    return f"{tokens_per_s:.{digits}f} tok/s"


def format_seconds(seconds: float | None) -> str:
    """A short duration."""
    if seconds is None:
        return ""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def format_context(num_tokens: int, context_length: int | None) -> str:
    """Tokens in use of the context."""
    if context_length is None:
        return f"{num_tokens:,} tokens" if num_tokens else ""
    return f"{num_tokens:,} / {context_length:,}"


def usage_segments(stats: ReplyStats | None, context_length: int | None) -> list[Segment]:
    """What the last reply cost, the speed apart."""
    if stats is None:
        return [Segment(format_context(0, context_length), 1)]
    segments = [Segment(format_context(stats.num_context_tokens, context_length), 1)]
    if stats.num_cached_tokens:
        segments.append(Segment(f"cached {stats.num_cached_tokens:,}", 4))
    if stats.acceptance is not None:
        segments.append(Segment(f"draft {stats.acceptance:.0%}", 3))
    if stats.ttft_s is not None:
        segments.append(Segment(f"first {format_seconds(stats.ttft_s)}", 2))
    return segments


def is_nearly_full(num_tokens: int, context_length: int | None) -> bool:
    """Whether the context is more than nine tenths used."""
    return context_length is not None and num_tokens > 0.9 * context_length


def reply_note(message: Message) -> str:
    """The dim line under a reply."""
    parts = [display_name(message.model)]
    if stats := message.stats:
        about = "" if stats.num_prompt_tokens else "~"
        parts.append(f"{about}{stats.num_output_tokens:,} tokens")
        parts.append(format_rate(stats.tokens_per_s))
        if stats.ttft_s is not None:
            parts.append(f"first after {format_seconds(stats.ttft_s)}")
    if message.done_reason == STOPPED_BY_USER:
        parts.append("stopped")
    if message.done_reason == INTERRUPTED:
        parts.append("broke off")
    if count := message.num_dropped_messages:
        parts.append(f"{count} older messages left out")
    return " · ".join(part for part in parts if part)


def cut_note(message: Message) -> str:
    """Says aloud that a reply is not whole; empty when it is."""
    if message.done_reason != "length":
        return ""
    return (
        "The reply was cut off: it reached the token limit or the end of the context. "
        "F2 sets the limit, Ctrl+N begins a chat with an empty context."
    )
