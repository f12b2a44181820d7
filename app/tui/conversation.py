"""A conversation as a tree of messages: regenerating or editing adds a branch, nothing is lost.

Pure values: no disk, no widgets, no daemon.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Role = Literal["user", "assistant"]

STOPPED_BY_USER = "cancel"
"""The `done_reason` of a reply that the user stopped; the daemon's own are `stop`, `length`."""

INTERRUPTED = "error"
"""The `done_reason` of a reply that an error cut short."""


@dataclass(frozen=True)
class ToolCall:
    """A tool the model asked for, with its arguments."""

    name: str
    arguments: dict[str, Any]

    def __str__(self) -> str:
        pairs = ", ".join(f"{key}={value!r}" for key, value in self.arguments.items())
        return f"{self.name}({pairs})"


@dataclass(frozen=True)
class ReplyStats:
    """What one reply cost, from the daemon's final chunk; `ttft_s` is what the user waited."""

    num_prompt_tokens: int = 0
    """0: the reply was stopped, and what is here was counted on this side."""
    num_cached_tokens: int = 0
    """Prompt tokens whose keys and values were reused."""
    num_output_tokens: int = 0
    decode_s: float = 0.0
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0
    ttft_s: float | None = None
    """From sending to the first text shown."""

    @property
    def tokens_per_s(self) -> float | None:
        """Decoding speed, None when nothing was timed."""
        if self.num_output_tokens == 0 or self.decode_s <= 0:
            return None
        return self.num_output_tokens / self.decode_s

    @property
    def num_context_tokens(self) -> int:
        """Tokens the conversation takes up after this reply."""
        return self.num_prompt_tokens + self.num_output_tokens

    @property
    def acceptance(self) -> float | None:
        """Share of draft tokens that the model accepted, None without speculation."""
        if self.num_draft_tokens == 0:
            return None
        return self.num_accepted_tokens / self.num_draft_tokens


def parse_stats(chunk: Mapping[str, Any], ttft_s: float | None) -> ReplyStats:
    """The figures in the final chunk of `/api/chat` (durations there are nanoseconds)."""
    draft = chunk.get("draft") or {}
    return ReplyStats(
        num_prompt_tokens=int(chunk.get("prompt_eval_count", 0)),
        num_cached_tokens=int(chunk.get("cached_prompt_tokens", 0)),
        num_output_tokens=int(chunk.get("eval_count", 0)),
        decode_s=int(chunk.get("eval_duration", 0)) / 1e9,
        num_draft_tokens=int(draft.get("proposed", 0)),
        num_accepted_tokens=int(draft.get("accepted", 0)),
        ttft_s=ttft_s,
    )


@dataclass(frozen=True)
class Message:
    """One turn. `parent` is the place, in `Conversation.messages`, of the turn it answers."""

    role: Role
    content: str
    parent: int | None = None
    thinking: str = ""
    thinking_s: float | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    model: str = ""
    """Who answered; empty for the user's own messages."""
    done_reason: str = ""
    num_dropped_messages: int = 0
    """The oldest messages that the model did not see because the context was full."""
    stats: ReplyStats | None = None


@dataclass(frozen=True)
class Branch:
    """Where a message stands among its alternatives; both start at 1."""

    position: int
    count: int


@dataclass(frozen=True)
class Conversation:
    """All messages ever sent, oldest first, and the leaf whose ancestry is shown."""

    messages: tuple[Message, ...] = ()
    leaf: int | None = None

    def path(self) -> list[int]:
        """The shown messages' places, first to last."""
        places: list[int] = []
        place = self.leaf
        while place is not None:
            places.append(place)
            place = self.messages[place].parent
        return places[::-1]

    def add(self, message: Message) -> "Conversation":
        """With `message` as the next turn after the leaf, and as the new leaf."""
        added = replace(message, parent=self.leaf)
        return Conversation((*self.messages, added), len(self.messages))

    def at(self, leaf: int | None) -> "Conversation":
        """The same messages, shown up to `leaf`."""
        assert leaf is None or 0 <= leaf < len(self.messages)
        return replace(self, leaf=leaf)

    def last(self, role: Role) -> int | None:
        """The place of the last shown message of that role."""
        return next((p for p in reversed(self.path()) if self.messages[p].role == role), None)

    def last_stats(self) -> ReplyStats | None:
        """The figures of the last shown reply that came to its end."""
        messages = [self.messages[place] for place in reversed(self.path())]
        complete = (m.stats for m in messages if m.stats and m.stats.num_prompt_tokens)
        return next(complete, None)

    def alternatives(self, place: int) -> list[int]:
        """The messages that answer the same turn in the same role, `place` among them."""
        message = self.messages[place]
        return [
            other
            for other, candidate in enumerate(self.messages)
            if candidate.parent == message.parent and candidate.role == message.role
        ]

    def branch(self, place: int) -> Branch:
        """Where the message stands among its alternatives."""
        places = self.alternatives(place)
        return Branch(places.index(place) + 1, len(places))

    def switched(self, step: int) -> "Conversation":
        """With the lowest fork on the path turned by `step` alternatives (unchanged if none).

        Below the fork the newest messages are shown.
        """
        for place in reversed(self.path()):
            places = self.alternatives(place)
            if len(places) > 1:
                chosen = places[(places.index(place) + step) % len(places)]
                return self.at(self._newest_below(chosen))
        return self

    def _newest_below(self, place: int) -> int:
        while True:
            children = [i for i, message in enumerate(self.messages) if message.parent == place]
            if not children:
                return place
            place = children[-1]


def request_messages(conversation: Conversation, system: str) -> list[dict[str, Any]]:
    """The shown messages as `/api/chat` wants them; earlier thinking is left out.

    A message that got no reply is joined to the next one: many templates want turns to alternate.
    """
    messages: list[dict[str, Any]] = []
    if system:
        messages.append({"role": "system", "content": system})
    for place in conversation.path():
        message = conversation.messages[place]
        if message.role == "user" and messages and messages[-1]["role"] == "user":
            messages[-1]["content"] += f"\n\n{message.content}"
            continue
        body: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.tool_calls:
            body["tool_calls"] = [
                {"function": {"name": call.name, "arguments": call.arguments}}
                for call in message.tool_calls
            ]
        messages.append(body)
    return messages


def as_markdown(conversation: Conversation, title: str) -> str:
    """The shown conversation as a Markdown document."""
    parts = [f"# {title}"]
    for place in conversation.path():
        message = conversation.messages[place]
        speaker = "You" if message.role == "user" else message.model or "Assistant"
        parts.append(f"## {speaker}\n\n{message.content.strip()}")
    return "\n\n".join(parts) + "\n"


def last_code_block(text: str) -> str | None:
    """What stands in the last fence of a Markdown text, closed or not; None without fences."""
    fences = re.findall(r"^ {0,3}(`{3,}|~{3,})[^\n]*\n(.*?)(?:^ {0,3}\1|\Z)", text, re.M | re.S)
    return fences[-1][1].removesuffix("\n") if fences else None


def make_title(text: str, *, max_chars: int = 60) -> str:
    """A chat's title from its first message: its first line, cut at a word."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "New chat")
    line = " ".join(line.split())
    if len(line) <= max_chars:
        return line
    cut = line[: max_chars - 1]
    if " " in cut[max_chars // 2 :]:
        cut = cut[: cut.rindex(" ")]
    return cut + "…"


def file_name(title: str) -> str:
    """A file name for an exported chat."""
    words = re.findall(r"\w+", title.lower())
    return ("-".join(words)[:60].strip("-") or "chat") + ".md"
