"""Arguments of tool calls while the model still writes them, as parts of the text they will be.

A reader follows the text between a format's marks. It may say less than it could, never anything
else: what it said of a call begins what `json.dumps` writes of the call's arguments.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from engine.text.json_text import JsonText
from engine.text.output_pieces import CallPart, Piece, ToolCall

NAME_KEYS = ("name", "tool_name", "function")
ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")


class PartsReader(Protocol):
    """Follows one stretch of calls, which it counts from 0."""

    def feed(self, text: str) -> list[CallPart]:
        """What more is certain."""


class ObjectParts:
    """Calls as JSON objects with a name and arguments, one after the other or in a list."""

    def __init__(self) -> None:
        self._pending = ""
        self._index = -1
        self._depth = 0
        """1 in a call's object, 2 in the `function` inside one."""
        self._key: str | None = None
        self._value: JsonText | None = None
        """The key or the member that is being read, and what it is so far."""
        self._written = ""
        self._name = ""
        self._held = ""
        """Arguments that came before their name."""

    def feed(self, text: str) -> list[CallPart]:
        """See PartsReader."""
        parts: list[CallPart] = []
        self._pending += text
        while self._pending:
            if self._value is not None:
                self._take_value(self._value, parts)
            else:
                self._take_mark(self._pending[0])
        return parts

    def _take_mark(self, mark: str) -> None:
        """A character between keys and values, or the first one of either."""
        is_value = mark not in "{} \t\r\n:," or (
            mark == "{" and self._key not in (None, "function")
        )
        if self._depth and is_value:
            self._value, self._written = JsonText(), ""
            return
        if mark == "{":
            if not self._depth:
                self._index, self._name, self._held = self._index + 1, "", ""
            self._depth, self._key = self._depth + 1, None
        elif mark == "}":
            self._depth, self._key = max(self._depth - 1, 0), None
        self._pending = self._pending[1:]

    def _take_value(self, value: JsonText, parts: list[CallPart]) -> None:
        written = value.feed(self._pending)
        self._pending = ""
        self._written += written
        if self._key in ARGUMENT_KEYS and self._written.startswith("{"):
            self._say(written, parts)
        if not value.is_whole:
            return
        self._pending, self._value = value.rest, None
        is_text = self._written.startswith('"')
        if self._key is None:
            self._key = json.loads(self._written) if is_text else ""
            return
        if self._key in NAME_KEYS and is_text and not self._name:
            self._name = json.loads(self._written)
            parts.append(CallPart(self._index, self._name, self._held))
        self._key = None

    def _say(self, arguments: str, parts: list[CallPart]) -> None:
        if not self._name:
            self._held += arguments
        elif arguments:
            parts.append(CallPart(self._index, "", arguments))


class NamedParts:
    """Calls as a name, the first group of `name` that matched, then a JSON object or tagged pairs.

    A pair begins with `pair_start`; `pair` matches it whole, the key is its first group and
    `value_of` makes its value. Pairs are shown one by one, an object as it is written.
    """

    def __init__(
        self,
        name: str,
        pair_start: str = "",
        pair: str = "",
        value_of: Callable[[re.Match[str]], Any] = lambda pair: pair[2],
    ) -> None:
        self._start = re.compile(f"(?P<pair>{pair_start or '(?!)'})|{name}")
        self._pair = re.compile(pair, re.DOTALL)
        self._value_of = value_of
        self._pending = ""
        self._index = -1
        self._keys: set[str] = set()
        self._object: JsonText | None = None

    def feed(self, text: str) -> list[CallPart]:
        """See PartsReader."""
        parts: list[CallPart] = []
        self._pending += text
        while self._pending and self._advance(parts):
            pass
        return parts

    def _advance(self, parts: list[CallPart]) -> bool:
        """Take one step; False when it takes more text to go on."""
        if self._object is not None:
            return self._take_object(self._object, parts)
        if self._index >= 0 and not self._keys and self._pending.lstrip().startswith("{"):
            self._object = JsonText()
            return True
        found = self._start.search(self._pending)
        if found is None:
            return False
        if found["pair"] is not None:
            return self._take_pair(found.start(), parts)
        self._pending = self._pending[found.end() :]
        if self._keys:
            parts.append(CallPart(self._index, "", "}"))
        self._index, self._keys = self._index + 1, set()
        parts.append(CallPart(self._index, next(filter(None, found.groups()[1:]))))
        return True

    def _take_object(self, value: JsonText, parts: list[CallPart]) -> bool:
        written = value.feed(self._pending)
        self._pending = ""
        if written:
            parts.append(CallPart(self._index, "", written))
        if value.is_whole:
            self._pending, self._object = value.rest, None
        return value.is_whole

    def _take_pair(self, place: int, parts: list[CallPart]) -> bool:
        found = self._pair.match(self._pending, place)
        if found is None:
            return False
        self._pending = self._pending[found.end() :]
        key = found[1].strip()
        if self._index >= 0 and key not in self._keys:
            pair = json.dumps({key: self._value_of(found)}, ensure_ascii=False)
            parts.append(CallPart(self._index, "", (", " if self._keys else "{") + pair[1:-1]))
            self._keys.add(key)
        return True


Begin = Callable[[str], PartsReader | None]
"""The reader of a stretch that begins like this; None while that is not clear yet."""


def _only_whole(text: str) -> PartsReader | None:
    """One call is whole before the next begins; what cannot be said so waits for the end."""
    del text
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class CallSection:
    """One stretch of calls: parts as they come, whole calls at its end."""

    def __init__(self, first_index: int, begin: Begin) -> None:
        self._first_index = first_index
        self._begin = begin
        self._reader: PartsReader | None = None
        self._unread = ""
        self._said: list[str] = []
        """The arguments of each call, as far as they were said."""

    @property
    def next_index(self) -> int:
        """Number of the call behind this stretch."""
        return self._first_index + len(self._said)

    def feed(self, text: str) -> list[CallPart]:
        """More of what stands between the marks."""
        self._unread += text
        self._reader = self._reader or self._begin(self._unread)
        if self._reader is None:
            return []
        unread, self._unread = self._unread, ""
        parts: list[CallPart] = []
        for part in self._reader.feed(unread):
            if not self._is_next(part):
                self._begin, self._reader = _only_whole, None
                break
            parts.append(self._say(part))
        return parts

    def _is_next(self, part: CallPart) -> bool:
        """Whether it goes on with the last call, or begins one behind a call that is whole."""
        if part.index < len(self._said):
            return True
        return part.index == len(self._said) and all(map(_is_json, self._said[-1:]))

    def close(self, calls: Sequence[tuple[str, dict[str, Any]]]) -> list[Piece]:
        """The calls that it was, each behind the part that was missing."""
        pieces: list[Piece] = []
        for index, (name, arguments) in enumerate(calls):
            text = json.dumps(arguments, ensure_ascii=False)
            if index == len(self._said):
                part = CallPart(index, name, text, is_last=True)
            else:
                said = self._said[index]
                rest = text[len(said) :] if text.startswith(said) else ""
                part = CallPart(index, "", rest, is_last=True)
            pieces += [self._say(part), ToolCall(name, arguments)]
        return pieces

    def _say(self, part: CallPart) -> CallPart:
        if part.index == len(self._said):
            self._said.append("")
        self._said[part.index] += part.arguments
        return replace(part, index=self._first_index + part.index)
