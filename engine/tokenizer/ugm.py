"""SentencePiece unigram ("t5" in GGUF): the segmentation with the best sum of scores.

The normalization table is a double array of replacements (Kanda 2018) as SentencePiece stores it.
"""

import numpy as np

from engine.tokenizer.vocabulary import Vocabulary
from models.errors import InvalidModelFile

_SPACE = "▁"
_UNKNOWN_PENALTY = 10.0
_NORMAL, _USER_DEFINED, _UNUSED = 1, 4, 5


class UgmEncoder:
    """Ids of a fragment that has no special tokens in it."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        *,
        normalization: np.ndarray | None,
        add_space_prefix: bool,
        merge_spaces: bool,
    ) -> None:
        self._unknown = vocabulary.unknown_token_id or 0
        self._add_space_prefix = add_space_prefix
        self._merge_spaces = merge_spaces
        self._table = Replacements(normalization)
        self._scores: dict[str, tuple[float, int]] = {}
        normal_scores = [0.0]
        self._user_defined: set[str] = set()
        for index, (text, kind) in enumerate(zip(vocabulary.texts, vocabulary.types, strict=True)):
            if kind == _NORMAL:
                normal_scores.append(vocabulary.scores[index])
            if kind == _USER_DEFINED:
                self._user_defined.add(text)
            if kind in (_NORMAL, _USER_DEFINED, _UNUSED):
                score = 0.0 if kind == _USER_DEFINED else vocabulary.scores[index]
                self._scores[text] = (score, index)
        self._unknown_score = min(normal_scores) - _UNKNOWN_PENALTY
        self._max_chars = max((len(text) for text in self._scores), default=1)
        self._max_user_chars = max((len(text) for text in self._user_defined), default=0)

    def encode(self, text: str, *, after_special: bool) -> list[int]:  # noqa: ARG002
        """Token ids of `text`; consecutive unknown characters become one unknown token."""
        text = self._normalize(text)
        best: list[tuple[float, int, int]] = [(-float("inf"), self._unknown, 0)] * (len(text) + 1)
        best[0] = (0.0, self._unknown, 0)
        for start in range(len(text)):
            self._extend(text, start, best)
        ids: list[int] = []
        end = len(text)
        while end > 0:
            _, token_id, start = best[end]
            if not (token_id == self._unknown and ids and ids[-1] == self._unknown):
                ids.append(token_id)
            end = start
        return ids[::-1]

    def _extend(self, text: str, start: int, best: list[tuple[float, int, int]]) -> None:
        """Offer every token that begins at `start` to the place where it ends."""
        so_far = best[start][0]
        for end in range(start + 1, min(len(text), start + self._max_chars) + 1):
            found = self._scores.get(text[start:end])
            if found is not None and so_far + found[0] > best[end][0]:
                best[end] = (so_far + found[0], found[1], start)
        unknown = text[start] not in self._scores
        if unknown and so_far + self._unknown_score > best[start + 1][0]:
            best[start + 1] = (so_far + self._unknown_score, self._unknown, start)

    def _normalize(self, text: str) -> str:
        """Replacements applied, spaces as "▁", merged and put in front as the model wants them."""
        out: list[str] = []
        in_word = False
        prepended = False
        for char in self._replaced(text):
            if char == " ":
                in_word = False
                if not self._merge_spaces:
                    out.append(_SPACE)
                continue
            if not in_word:
                in_word = True
                if (self._add_space_prefix and not prepended) or self._merge_spaces:
                    out.append(_SPACE)
                    prepended = True
            out.append(char)
        return "".join(out)

    def _replaced(self, text: str) -> str:
        out: list[str] = []
        data = text.encode()
        start = 0
        while start < len(data):
            user = self._user_token(data, start)
            replacement, num_bytes = (user, len(user)) if user else self._table.find(data, start)
            if not num_bytes:
                num_bytes = _char_bytes(data[start])
                replacement = data[start : start + num_bytes]
            out.append(replacement.decode(errors="replace"))
            start += num_bytes
        return "".join(out)

    def _user_token(self, data: bytes, start: int) -> bytes:
        for size in range(min(4 * self._max_user_chars, len(data) - start), 0, -1):
            piece = data[start : start + size]
            if piece.decode(errors="replace") in self._user_defined:
                return piece
        return b""


class Replacements:
    """Longest-prefix replacement of UTF-8, from `precompiled_charsmap`."""

    def __init__(self, table: np.ndarray | None) -> None:
        data = b"" if table is None else table.astype(np.uint8).tobytes()
        num_bytes = int.from_bytes(data[:4], "little")
        if data and (4 + num_bytes >= len(data) or data[-1] != 0):
            raise InvalidModelFile("'tokenizer.ggml.precompiled_charsmap' is damaged")
        self._nodes: list[int] = np.frombuffer(data[4 : 4 + num_bytes // 4 * 4], "<u4").tolist()
        self._texts = data[4 + num_bytes :]

    def find(self, data: bytes, start: int) -> tuple[bytes, int]:
        """(replacement, bytes it stands for) at `start`; (b"", 0) when there is none."""
        if not self._nodes:
            return b"", 0
        found = (b"", 0)
        index = _base(self._nodes[0])
        for offset in range(start, len(data)):
            char = data[offset]
            index ^= char
            if char == 0 or index >= len(self._nodes):
                break
            node = self._nodes[index]
            if node & 0x8000_00FF != char:
                break
            index ^= _base(node)
            if node >> 8 & 1 and index < len(self._nodes):
                place = self._nodes[index] & 0x7FFF_FFFF
                end = self._texts.find(b"\0", place)
                found = (self._texts[place : max(end, place)], offset - start + 1)
        return found


def _base(node: int) -> int:
    return (node >> 10) << ((node & (1 << 9)) >> 6)


def _char_bytes(first: int) -> int:
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
