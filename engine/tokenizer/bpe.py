"""Byte pair encoding of one fragment of text, by the `tokenizers` library's own machinery."""

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from engine.tokenizer.pretokenizers import PreTokenizer
from engine.tokenizer.vocabulary import Vocabulary
from models.errors import InvalidModelFile


class BpeEncoder:
    """Ids of a fragment that has no special tokens in it."""

    def __init__(self, vocabulary: Vocabulary, merges: list[str], words: PreTokenizer) -> None:
        if not merges:
            raise InvalidModelFile("the GGUF value 'tokenizer.ggml.merges' is missing or empty")
        self._tokenizer = Tokenizer(
            models.BPE(
                vocab=vocabulary.ids,
                merges=_usable_merges(merges, vocabulary.ids),
                ignore_merges=words.whole_words_first,
                byte_fallback=words.raw_utf8,
            )
        )
        splits: list[pre_tokenizers.PreTokenizer] = [
            pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in words.patterns
        ]
        if not words.raw_utf8:
            splits.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
        self._escapes_spaces = words.raw_utf8

    def encode(self, text: str, *, after_special: bool) -> list[int]:  # noqa: ARG002
        """Token ids of `text`; byte pairs do not care what came before it."""
        if self._escapes_spaces:
            text = text.replace(" ", "▁")
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def _usable_merges(merges: list[str], ids: dict[str, int]) -> list[tuple[str, str]]:
    """(left, right) pairs in order of rank, without those that could never lead to a token."""
    pairs = []
    for merge in merges:
        space = merge.find(" ", 1)
        left, right = merge[:space], merge[space + 1 :]
        if space > 0 and left in ids and right in ids and left + right in ids:
            pairs.append((left, right))
    return pairs
