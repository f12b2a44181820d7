"""Parses Harmony, the format of gpt-oss: messages with a channel and perhaps a recipient.

A message is `<|channel|>NAME to=functions.F <|constrain|>json<|message|>BODY` and ends with
<|end|>, <|call|> or <|return|>; the first one's <|start|>assistant is part of the prompt.
"""

import json
import re
from typing import Any

from engine.text.call_parts import CallSection, NamedParts
from engine.text.output_pieces import Content, Piece, Thinking

_ENDS = ("<|end|>", "<|call|>", "<|return|>", "<|start|>")
_MESSAGE = "<|message|>"
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_RECIPIENT = re.compile(r"to=(?:functions\.)?([\w.\-]+)")
_HEADER_STARTS = ("<|channel|>", "<|start|>", "assistant", " to=", "to=", "<|constrain|>")


class HarmonyParser:
    """See engine.text.output_parser.OutputParser."""

    def __init__(self) -> None:
        self.marks = frozenset([*_ENDS, _MESSAGE, "<|channel|>", "<|constrain|>"])
        self._pending = ""
        self._header: str | None = None
        """The header of the message whose body is being read; None while a header is."""
        self._section: CallSection | None = None
        """Follows the call that the body is."""
        self._num_followed = 0
        """So many pending characters were given to it."""
        self._num_calls = 0

    def feed(self, text: str) -> list[Piece]:
        """See OutputParser.feed."""
        self._pending += text
        pieces: list[Piece] = []
        while self._advance(pieces):
            pass
        return pieces

    def finish(self) -> list[Piece]:
        """See OutputParser.finish."""
        rest, self._pending = self._pending, ""
        header, self._header = self._header, None
        if header is not None:
            return self._piece(header, rest)
        return [Content(rest)] if rest and not self._is_header(rest) else []

    def _advance(self, pieces: list[Piece]) -> bool:
        return self._take_header() if self._header is None else self._take_body(pieces)

    def _take_header(self) -> bool:
        found = self._pending.find(_MESSAGE)
        if found >= 0:
            self._header = self._pending[:found]
            self._pending = self._pending[found + len(_MESSAGE) :]
            return True
        if self._pending and not self._is_header(self._pending):
            self._header = ""
            return True
        return False

    @staticmethod
    def _is_header(text: str) -> bool:
        return any(text.startswith(start[: len(text)]) for start in _HEADER_STARTS)

    def _take_body(self, pieces: list[Piece]) -> bool:
        assert self._header is not None
        found = [(self._pending.find(end), end) for end in _ENDS if end in self._pending]
        if found:
            place, end = min(found)
            pieces += self._piece(self._header, self._pending[:place])
            self._pending = self._pending[place + len(end) :]
            self._header = None
            return True
        keep = _num_held_back(self._pending)
        text = self._pending[: len(self._pending) - keep]
        function = self._function(self._header)
        if function is None:
            self._pending = self._pending[len(text) :]
            pieces += self._piece(self._header, text)
        else:
            self._follow(function, text, pieces)
        return False

    def _piece(self, header: str, body: str) -> list[Piece]:
        function = self._function(header)
        if function is not None:
            return self._close_call(function, body)
        channel = _CHANNEL.search(header)
        if not body:
            return []
        is_analysis = channel is not None and channel[1] == "analysis"
        return [Thinking(body) if is_analysis else Content(body)]

    def _follow(self, function: str, body: str, pieces: list[Piece]) -> CallSection:
        """Show what is known of a call's arguments; they go on to be written."""
        if self._section is None:
            self._section = CallSection(self._num_calls, lambda _: NamedParts(r"\A(\S+)\n"))
            pieces += self._section.feed(f"{function}\n")
        pieces += self._section.feed(body[self._num_followed :])
        self._num_followed = max(self._num_followed, len(body))
        return self._section

    def _close_call(self, function: str, body: str) -> list[Piece]:
        pieces: list[Piece] = []
        section = self._follow(function, body, pieces)
        arguments = _arguments(body)
        pieces += section.close([] if arguments is None else [(function, arguments)])
        self._num_calls, self._section, self._num_followed = section.next_index, None, 0
        return pieces if arguments is not None else [*pieces, Content(body)]

    @staticmethod
    def _function(header: str) -> str | None:
        found = _RECIPIENT.search(header)
        return found[1] if found else None


def _arguments(body: str) -> dict[str, Any] | None:
    try:
        arguments = json.loads(body, strict=False) if body.strip() else {}
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def _num_held_back(text: str) -> int:
    sizes = range(min(max(map(len, _ENDS)) - 1, len(text)), 0, -1)
    return next((n for n in sizes if any(end.startswith(text[-n:]) for end in _ENDS)), 0)
