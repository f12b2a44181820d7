"""Turns a stream of tokens into text without ever showing half a character."""

import codecs

from engine.tokenizer import Tokenizer


class Detokenizer:
    """Text of one answer, token by token; bytes of an unfinished character are held back.

    Special tokens are silent, except those in `shown`. Bytes that can be no UTF-8 become U+FFFD.
    """

    def __init__(self, tokenizer: Tokenizer, shown: frozenset[int] = frozenset()) -> None:
        self._tokenizer = tokenizer
        self._shown = shown
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token_id: int) -> str:
        """The text that this token completes; may be empty."""
        if self._tokenizer.is_special(token_id) and token_id not in self._shown:
            return ""
        return self._decoder.decode(self._tokenizer.token_bytes(token_id))

    def flush(self) -> str:
        """What was held back, at the end of the answer."""
        return self._decoder.decode(b"", final=True)
