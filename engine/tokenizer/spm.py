"""SentencePiece BPE ("llama" in GGUF): the pair with the best score is merged first.

Characters that end up outside the vocabulary become byte tokens.
"""

from functools import lru_cache
from heapq import heapify, heappop, heappush

from engine.tokenizer.vocabulary import Vocabulary

_SPACE = "▁"
_MAX_CACHED_CHARS = 64


class SpmEncoder:
    """Ids of a fragment that has no special tokens in it."""

    def __init__(self, vocabulary: Vocabulary, *, add_space_prefix: bool) -> None:
        self._ids = vocabulary.ids
        self._scores = vocabulary.scores
        self._unknown = vocabulary.unknown_token_id or 0
        self._add_space_prefix = add_space_prefix
        self._splits_at_spaces = not any(
            _SPACE in text.lstrip(_SPACE)
            for index, text in enumerate(vocabulary.texts)
            if index not in vocabulary.control and index not in vocabulary.user_defined
        )
        self._encode_word = lru_cache(maxsize=32_768)(self._merge)

    def encode(self, text: str, *, after_special: bool) -> list[int]:
        """Token ids of `text`; a space goes in front after a special token or at the start."""
        if self._add_space_prefix and after_special:
            text = " " + text
        text = text.replace(" ", _SPACE)
        ids: list[int] = []
        for word in self._words(text):
            short = len(word) <= _MAX_CACHED_CHARS
            ids.extend(self._encode_word(word) if short else self._merge(word))
        return ids

    def _words(self, text: str) -> list[str]:
        """Pieces that no token can reach across: "▁" starts one where no token has it inside."""
        if not self._splits_at_spaces:
            return [text]
        words: list[str] = []
        start = 0
        while start < len(text):
            end = start
            while end < len(text) and text[end] == _SPACE:
                end += 1
            end = text.find(_SPACE, end)
            end = len(text) if end < 0 else end
            words.append(text[start:end])
            start = end
        return words

    def _merge(self, word: str) -> tuple[int, ...]:
        """Merge neighbours, best score first and leftmost among equals, until nothing fits."""
        parts: list[str] = list(word)
        previous = list(range(-1, len(parts) - 1))
        following = [*range(1, len(parts)), -1] if parts else []
        queue: list[tuple[float, int, int, int]] = []
        for left in range(len(parts) - 1):
            self._propose(parts, left, left + 1, queue)
        heapify(queue)
        while queue:
            _, left, right, num_chars = heappop(queue)
            if not parts[left] or not parts[right]:
                continue
            if len(parts[left]) + len(parts[right]) != num_chars:
                continue
            parts[left] += parts[right]
            parts[right] = ""
            following[left] = following[right]
            if following[right] >= 0:
                previous[following[right]] = left
            for first, second in ((previous[left], left), (left, following[left])):
                if first >= 0 and second >= 0:
                    self._propose(parts, first, second, queue)
        return tuple(token_id for part in parts if part for token_id in self._resolve(part))

    def _propose(
        self, parts: list[str], left: int, right: int, queue: list[tuple[float, int, int, int]]
    ) -> None:
        text = parts[left] + parts[right]
        token_id = self._ids.get(text)
        if token_id is not None:
            heappush(queue, (-self._scores[token_id], left, right, len(text)))

    def _resolve(self, part: str) -> list[int]:
        token_id = self._ids.get(part)
        if token_id is not None:
            return [token_id]
        return [self._ids.get(f"<0x{byte:02X}>", self._unknown) for byte in part.encode()]
