"""WordPiece ("bert" in GGUF): the longest known piece first, unknown words as one token."""

import unicodedata

from engine.tokenizer.vocabulary import Vocabulary

_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WpmEncoder:
    """Ids of a fragment that has no special tokens in it."""

    def __init__(self, vocabulary: Vocabulary, *, lowercase: bool, strip_accents: bool) -> None:
        self._ids = vocabulary.ids
        self._unknown = vocabulary.unknown_token_id or 0
        self._max_chars = max(len(text) for text in vocabulary.texts)
        self._lowercase = lowercase
        self._strip_accents = strip_accents
        self._dropped = {"Cc", "Cf", "Co"} | ({"Mn", "Mc", "Me"} if strip_accents else set())

    def encode(self, text: str, *, after_special: bool) -> list[int]:  # noqa: ARG002
        """Token ids of `text`; words do not care what came before them."""
        return [token_id for word in self._words(text) for token_id in self._pieces("▁" + word)]

    def _pieces(self, word: str) -> list[int]:
        ids: list[int] = []
        start = 0
        while start < len(word):
            for end in range(min(len(word), start + self._max_chars), start, -1):
                token_id = self._ids.get(word[start:end])
                if token_id is not None:
                    ids.append(token_id)
                    start = end
                    break
            else:
                return [self._unknown]
        return ids

    def _words(self, text: str) -> list[str]:
        """Words between white space, each punctuation mark and Chinese character on its own."""
        if self._strip_accents:
            text = "".join(unicodedata.normalize("NFD", char)[0] for char in text)
        words = [""]
        for char in text:
            category = unicodedata.category(char)
            if char.isspace():
                words.append("")
            elif char == "\ufffd" or category in self._dropped:
                continue
            elif _stands_alone(char, category):
                words += [char, ""]
            else:
                words[-1] += _lower(char) if self._lowercase else char
        return [word for word in words if word]


def _stands_alone(char: str, category: str) -> bool:
    punctuation = category.startswith("P") or (char < "\x7f" and category.startswith("S"))
    return punctuation or any(low <= ord(char) <= high for low, high in _CHINESE)


def _lower(char: str) -> str:
    lowered = char.lower()
    return lowered if len(lowered) == 1 else char
