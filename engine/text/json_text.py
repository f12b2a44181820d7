"""JSON as a model writes it, piece by piece, made into the text that `json.dumps` writes."""

import json
import re

_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_BEGUN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
_SCALAR = re.compile(r'[^\s,:\[\]{}"]+')
_MARKS = {",": ", ", ":": ": "}


class JsonText:
    """One value. What `feed` gave so far begins what `json.dumps` would write of the whole value.

    Only a key that stands twice in an object is written twice.
    """

    def __init__(self) -> None:
        self.is_whole = False
        """Whether the value has ended; `rest` is what came behind it."""
        self.is_broken = False
        """Whether this can be no JSON any more; nothing more is written."""
        self.rest = ""
        """Read, but not written."""
        self._depth = 0
        self._in_string = False

    def feed(self, text: str) -> str:
        """What more of the value is certain."""
        self.rest += text
        written = []
        while self.rest and not (self.is_whole or self.is_broken):
            step = self._take_in_string() if self._in_string else self._take_outside()
            if step is None:
                break
            written.append(step)
        return "".join(written)

    def _take_outside(self) -> str | None:
        mark = self.rest[0]
        if mark in "{[":
            self._depth += 1
        elif mark in "}]":
            self._depth -= 1
            self.is_whole = self._depth == 0
            self.is_broken = self._depth < 0
        elif mark == '"':
            self._in_string = True
        elif mark not in _MARKS and not mark.isspace():
            return self._take_scalar()
        self.rest = self.rest[1:]
        return "" if mark.isspace() else _MARKS.get(mark, mark)

    def _take_scalar(self) -> str | None:
        """A number, or a word; it ends where something else begins."""
        found = _SCALAR.match(self.rest)
        assert found is not None
        if found.end() == len(self.rest):
            return None
        try:
            written = json.dumps(json.loads(found[0]))
        except ValueError:
            self.is_broken = True
            return None
        self.rest = self.rest[found.end() :]
        self.is_whole = self._depth == 0
        return written

    def _take_in_string(self) -> str | None:
        found = _PLAIN.match(self.rest)
        if found is not None:
            self.rest = self.rest[found.end() :]
            return found[0]
        if self.rest[0] == "\\":
            return self._take_escape()
        mark, self.rest = self.rest[0], self.rest[1:]
        if mark != '"':  # a control character, which a model may leave bare
            return json.dumps(mark)[1:-1]
        self._in_string = False
        self.is_whole = self._depth == 0
        return mark

    def _take_escape(self) -> str | None:
        """One escape, or two that are halves of one character."""
        first = _ESCAPE.match(self.rest)
        if first is None:
            self.is_broken = _BEGUN_ESCAPE.match(self.rest) is None
            return None
        escape = first[0]
        if escape[:4].lower() in ("\\ud8", "\\ud9", "\\uda", "\\udb"):
            behind = self.rest[6:]
            second = _ESCAPE.match(behind)
            if second is not None:
                is_half = second[0][:4].lower() in ("\\udc", "\\udd", "\\ude", "\\udf")
                escape += second[0] if is_half else ""
            elif not behind or _BEGUN_ESCAPE.match(behind):
                return None
        self.rest = self.rest[len(escape) :]
        return json.dumps(json.loads(f'"{escape}"'), ensure_ascii=False)[1:-1]
