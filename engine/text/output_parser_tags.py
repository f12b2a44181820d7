"""Splits answers of models that put tags around their thinking and their calls.

A mark that has only begun is held back, so no part of one is ever shown; a call that cannot be
understood comes back as content.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from engine.text.call_formats import CallFormat
from engine.text.call_parts import CallSection
from engine.text.output_parser_calls import parse_json_calls
from engine.text.output_pieces import CallPart, Content, Piece, Thinking

_SILENT_MARKS = ("<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>", "<|END_TEXT|>")
_CALL_IN_JSON = re.compile(r'\{\s*("(n(a(m(e(".*)?)?)?)?|t(y(p(e(".*)?)?)?)?)?)?\s*\Z', re.DOTALL)


class TagParser:
    """For models that put tags around thinking and calls."""

    def __init__(
        self,
        *,
        thinking: tuple[str, str] | None,
        formats: Sequence[CallFormat] = (),
        thinking_open: bool = False,
        bare_json_calls: bool = False,
    ) -> None:
        self._thinking = thinking
        self._formats = {form.start: form for form in formats}
        self._bare_json_calls = bare_json_calls
        self._in_thinking = thinking_open and thinking is not None
        self._call: CallFormat | None = None
        self._section: CallSection | None = None
        """Follows the calls that are being written."""
        self._num_followed = 0
        """So many pending characters were given to it."""
        self._num_calls = 0
        self._at_start = True
        self._pending = ""
        self._spaces = ""
        ends = [form.end for form in formats if form.end]
        self.marks = frozenset([*self._formats, *ends, *(thinking or ()), *_SILENT_MARKS])

    def feed(self, text: str) -> list[Piece]:
        """See OutputParser.feed."""
        self._pending += text
        pieces: list[Piece] = []
        while self._advance(pieces):
            pass
        return _merged(pieces)

    def finish(self) -> list[Piece]:
        """See OutputParser.finish."""
        pieces: list[Piece] = []
        rest, self._pending = self._pending, ""
        if self._call is not None:
            self._close_call(self._call, rest, "", pieces)
        elif self._in_thinking:
            pieces += [Thinking(rest.rstrip())] if rest.strip() else []
        elif self._might_be_json(rest):
            self._close_call(CallFormat("", "", parse_json_calls), rest, "", pieces)
        else:
            self._add_content(rest, pieces)
            if self._spaces and not self._at_start:
                pieces.append(Content(self._spaces))
        return _merged(pieces)

    def _advance(self, pieces: list[Piece]) -> bool:
        """Take one step through what is pending; False when it takes more text to go on."""
        if self._call is not None:
            return self._take_call(self._call, pieces)
        if self._in_thinking:
            return self._take_thinking(pieces)
        return self._take_content(pieces)

    def _take_call(self, form: CallFormat, pieces: list[Piece]) -> bool:
        if form.end and form.end in self._pending:
            body, _, self._pending = self._pending.partition(form.end)
            self._close_call(form, body, form.end, pieces)
            return True
        keep = _num_held_back(self._pending, (form.end,))
        self._follow(form, self._pending[: len(self._pending) - keep], pieces)
        return False

    def _follow(self, form: CallFormat, body: str, pieces: list[Piece]) -> CallSection:
        """Show what is known of the calls in `body`, which may go on."""
        section = self._section or CallSection(self._num_calls, form.begin)
        self._section = section
        pieces += section.feed(body[self._num_followed :])
        self._num_followed = max(self._num_followed, len(body))
        return section

    def _close_call(self, form: CallFormat, body: str, end: str, pieces: list[Piece]) -> None:
        section = self._follow(form, body, pieces)
        self._call, self._section, self._num_followed = None, None, 0
        calls = form.parse(body)
        pieces += section.close(calls or ())
        self._num_calls = section.next_index
        if calls is None:
            self._add_content(form.start + body + end, pieces)
            return
        self._spaces = ""
        self._at_start = True

    def _take_thinking(self, pieces: list[Piece]) -> bool:
        assert self._thinking is not None
        start, end = self._thinking
        if self._pending.lstrip().startswith(start):
            self._pending = self._pending.lstrip().removeprefix(start)
        found = self._pending.find(end)
        if found >= 0:
            text = self._pending[:found].rstrip()
            self._pending = self._pending[found + len(end) :]
            self._in_thinking = False
        else:
            keep = _num_held_back(self._pending, (start, end))
            shown = self._pending[: len(self._pending) - keep].rstrip()
            text, self._pending = shown, self._pending[len(shown) :]
        if self._at_start:
            text = text.lstrip()
        if text:
            pieces.append(Thinking(text))
            self._at_start = False
        if found >= 0:
            self._at_start = True
        return found >= 0

    def _take_content(self, pieces: list[Piece]) -> bool:
        if self._at_start and self._might_be_json(self._pending):
            return False
        marks = [*self._formats, *_SILENT_MARKS]
        if self._thinking is not None and self._at_start:
            marks.append(self._thinking[0])
        place, mark = _first(self._pending, marks)
        if mark is None:
            keep = _num_held_back(self._pending, marks)
            text = self._pending[: len(self._pending) - keep]
            self._pending = self._pending[len(text) :]
            self._add_content(text, pieces)
            return False
        before = self._pending[:place]
        opens_thinking = self._thinking is not None and mark == self._thinking[0]
        if opens_thinking and before.strip():
            self._add_content(before + mark, pieces)
        else:
            self._add_content(before, pieces)
            self._in_thinking = opens_thinking
            self._call = self._formats.get(mark)
        self._pending = self._pending[place + len(mark) :]
        return True

    def _might_be_json(self, text: str) -> bool:
        """Llama 3 writes a call as a bare JSON object and nothing else."""
        return self._bare_json_calls and _CALL_IN_JSON.match(text.strip()) is not None

    def _add_content(self, text: str, pieces: list[Piece]) -> None:
        """Show text; white space waits, as none is shown at the start or before a call."""
        body = text.rstrip() if self._formats or self._thinking else text
        if not body:
            self._spaces += text
            return
        spaces = self._spaces if not self._at_start or self._thinking is None else ""
        shown = spaces + body
        if self._at_start and self._thinking is not None:
            shown = shown.lstrip()
        self._spaces = text[len(body) :]
        self._at_start = False
        pieces.append(Content(shown))


def _first(text: str, marks: Sequence[str]) -> tuple[int, str | None]:
    """Where the first mark in `text` is; the longest of those that begin at one place."""
    found = [(text.find(mark), -len(mark), mark) for mark in marks if mark in text]
    if not found:
        return -1, None
    place, _, mark = min(found)
    return place, mark


def _num_held_back(text: str, marks: Sequence[str]) -> int:
    """Characters at the end of `text` that may be the beginning of a mark."""
    longest = 0
    for mark in marks:
        for size in range(min(len(mark) - 1, len(text)), longest, -1):
            if text.endswith(mark[:size]):
                longest = size
                break
    return longest


def _merged(pieces: list[Piece]) -> list[Piece]:
    """Neighbouring texts of one kind, or parts of one call, as one piece."""
    merged: list[Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, Content) and isinstance(last, Content):
            merged[-1] = Content(last.text + piece.text)
        elif isinstance(piece, Thinking) and isinstance(last, Thinking):
            merged[-1] = Thinking(last.text + piece.text)
        elif (
            isinstance(piece, CallPart) and isinstance(last, CallPart) and piece.index == last.index
        ):
            merged[-1] = replace(piece, name=last.name, arguments=last.arguments + piece.arguments)
        else:
            merged.append(piece)
    return merged
