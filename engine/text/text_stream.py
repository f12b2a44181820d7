"""From token ids to what a client sees: text without stop strings, split by the model's parser."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.text.detokenizer import Detokenizer
from engine.text.output_parser import OutputParser
from engine.text.output_pieces import CallPart, Content, Piece, Thinking, ToolCall
from engine.tokenizer import Tokenizer


@dataclass(frozen=True)
class TextDelta:
    """What some tokens added. `num_tokens`: how many of those given were used."""

    content: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    """Those that are whole."""
    call_parts: tuple[CallPart, ...] = ()
    """The same calls as they come, whole or not."""
    stop: str = ""
    """The stop string that came up; nothing after it is looked at."""
    num_tokens: int = 0

    @property
    def stopped(self) -> bool:
        """Whether a stop string came up."""
        return bool(self.stop)

    def __add__(self, later: "TextDelta") -> "TextDelta":
        """This and what came after it."""
        return TextDelta(
            self.content + later.content,
            self.thinking + later.thinking,
            self.tool_calls + later.tool_calls,
            self.call_parts + later.call_parts,
            self.stop or later.stop,
            self.num_tokens + later.num_tokens,
        )


class TextStream:
    """One answer. A stop string never appears in the text, nor does half of one."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        parser: OutputParser | None = None,
        stop: Sequence[str] = (),
    ) -> None:
        marks = parser.marks if parser is not None else frozenset()
        found = (tokenizer.token_id(mark) for mark in marks)
        shown = frozenset(index for index in found if index is not None)
        self._detokenizer = Detokenizer(tokenizer, shown)
        self._parser = parser
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self._stopped_by = ""

    def add(self, token_ids: Iterable[int]) -> TextDelta:
        """The next tokens' text. Tokens after a stop string are ignored."""
        pieces: list[Piece] = []
        num_tokens = 0
        for token_id in token_ids:
            if self._stopped_by:
                break
            num_tokens += 1
            text = self._detokenizer.add(token_id)
            if text:
                pieces += self._parse(self._without_stop(text))
        return self._delta(pieces, num_tokens)

    def finish(self) -> TextDelta:
        """What was held back, at the end of the answer."""
        pieces: list[Piece] = []
        if not self._stopped_by:
            text = self._without_stop(self._detokenizer.flush())
            if not self._stopped_by:
                text += self._held
                self._held = ""
            pieces += self._parse(text)
        if self._parser is not None:
            pieces += self._parser.finish()
        return self._delta(pieces, 0)

    def _without_stop(self, text: str) -> str:
        """Text that can be shown: up to a stop string, or up to what may be the start of one."""
        self._held += text
        places = [(self._held.find(stop), stop) for stop in self._stop if stop in self._held]
        if places:
            place, self._stopped_by = min(places)
            shown, self._held = self._held[:place], ""
            return shown
        keep = 0
        for stop in self._stop:
            sizes = range(min(len(stop) - 1, len(self._held)), keep, -1)
            keep = next((size for size in sizes if self._held.endswith(stop[:size])), keep)
        shown = self._held[: len(self._held) - keep]
        self._held = self._held[len(shown) :]
        return shown

    def _parse(self, text: str) -> list[Piece]:
        if not text:
            return []
        return [Content(text)] if self._parser is None else self._parser.feed(text)

    def _delta(self, pieces: list[Piece], num_tokens: int) -> TextDelta:
        return TextDelta(
            content="".join(piece.text for piece in pieces if isinstance(piece, Content)),
            thinking="".join(piece.text for piece in pieces if isinstance(piece, Thinking)),
            tool_calls=tuple(piece for piece in pieces if isinstance(piece, ToolCall)),
            call_parts=tuple(piece for piece in pieces if isinstance(piece, CallPart)),
            stop=self._stopped_by,
            num_tokens=num_tokens,
        )
