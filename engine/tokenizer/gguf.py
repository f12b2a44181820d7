"""Tokenizers whose vocabulary stands in a GGUF file's metadata; ids equal llama.cpp's."""

from collections.abc import Iterable
from functools import cached_property
from typing import Protocol

from engine.network.gguf_values import Metadata
from engine.tokenizer.bpe import BpeEncoder
from engine.tokenizer.pretokenizers import find_pretokenizer
from engine.tokenizer.spm import SpmEncoder
from engine.tokenizer.ugm import UgmEncoder
from engine.tokenizer.vocabulary import SpecialDefaults, Vocabulary, read_vocabulary
from engine.tokenizer.wpm import WpmEncoder
from models.errors import Unsupported


class FragmentEncoder(Protocol):
    """Encodes text between special tokens."""

    def encode(self, text: str, *, after_special: bool) -> list[int]:
        """`after_special`: at the start of all text or right after a special token."""


class GgufTokenizer:
    """A vocabulary and the way its text is cut, from a GGUF file's metadata."""

    def __init__(
        self, vocabulary: Vocabulary, encoder: FragmentEncoder, *, strips_first_space: bool = False
    ) -> None:
        self._vocabulary = vocabulary
        self._encoder = encoder
        self._strips_first_space = strips_first_space
        self.bos_token_id = vocabulary.bos_token_id
        self.eos_token_ids = vocabulary.end_token_ids
        self.vocab_size = len(vocabulary.texts)

    def encode(
        self,
        text: str,
        *,
        add_special: bool = True,
        parse_special: bool = True,
        continues: bool = False,
    ) -> list[int]:
        """See Tokenizer.encode; lone surrogates count as U+FFFD."""
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        vocabulary = self._vocabulary
        ids: list[int] = []
        after_special = not continues
        for fragment in self._partition(text, parse_special):
            if isinstance(fragment, int):
                ids.append(fragment)
                after_special = True
            else:
                ids += self._encoder.encode(fragment, after_special=after_special)
                after_special = False
        if not add_special:
            return ids
        bos, eos = vocabulary.bos_token_id, vocabulary.eos_token_id
        if vocabulary.add_bos and bos is not None and ids[:1] != [bos]:
            ids.insert(0, bos)
        if vocabulary.add_eos and eos is not None:
            ids.append(eos)
        return ids

    def decode(self, token_ids: Iterable[int]) -> str:
        """See Tokenizer.decode; the space that encoding put in front is taken off again."""
        pieces = [self._pieces[index] for index in token_ids if not self.is_special(index)]
        data = b"".join(pieces)
        if self._strips_first_space:
            data = data.removeprefix(b" ")
        return data.decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """See Tokenizer.token_bytes."""
        return self._pieces[token_id]

    def token_id(self, text: str) -> int | None:
        """See Tokenizer.token_id."""
        found = self._vocabulary.ids.get(text)
        vocabulary = self._vocabulary
        return found if found in vocabulary.control or found in vocabulary.user_defined else None

    def is_special(self, token_id: int) -> bool:
        """See Tokenizer.is_special."""
        return token_id in self._vocabulary.control

    @cached_property
    def _pieces(self) -> list[bytes]:
        return [self._vocabulary.token_bytes(index) for index in range(self.vocab_size)]

    def _partition(self, text: str, parse_special: bool) -> list[str | int]:
        """Cut special tokens out of `text`, longer ones first."""
        vocabulary = self._vocabulary
        fragments: list[str | int] = [text] if text else []
        for token_id in vocabulary.partition:
            name = vocabulary.texts[token_id]
            if name in text and (parse_special or token_id not in vocabulary.control):
                fragments = [
                    piece for fragment in fragments for piece in self._cut(fragment, name, token_id)
                ]
        return fragments

    def _cut(self, fragment: str | int, name: str, token_id: int) -> list[str | int]:
        if isinstance(fragment, int):
            return [fragment]
        pieces: list[str | int] = []
        strips = self._vocabulary.rstrips(token_id)
        for index, part in enumerate(fragment.split(name)):
            if index:
                pieces.append(token_id)
            text = part.lstrip(" \t\n\r\v\f") if index and strips else part
            if text:
                pieces.append(text)
        return pieces


def tokenizer_from_metadata(metadata: Metadata) -> GgufTokenizer:
    """The tokenizer that a GGUF file's metadata describes; see load_gguf_tokenizer."""
    kind = metadata.string("tokenizer.ggml.model")
    loaders = {
        "llama": _load_spm,
        "gpt2": _load_bpe,
        "gemma4": _load_bpe,
        "bert": _load_wpm,
        "t5": _load_ugm,
    }
    if kind not in loaders:
        raise Unsupported(f"the tokenizer {kind!r} is not known; known are {', '.join(loaders)}")
    return loaders[kind](metadata)


def _load_bpe(metadata: Metadata) -> GgufTokenizer:
    gemma4 = metadata.string("tokenizer.ggml.model") == "gemma4"
    pre_name = "gemma4" if gemma4 else metadata.string("tokenizer.ggml.pre", "")
    words = find_pretokenizer(pre_name)
    defaults = SpecialDefaults(add_bos=words.add_bos)
    if not gemma4:
        defaults = SpecialDefaults(bos=11 if words.has_bos else None, eos=11, add_bos=words.add_bos)
    vocabulary = read_vocabulary(metadata, "spm" if words.raw_utf8 else "stand-ins", defaults)
    merges = metadata.strings("tokenizer.ggml.merges")
    return GgufTokenizer(vocabulary, BpeEncoder(vocabulary, merges, words))


def _load_spm(metadata: Metadata) -> GgufTokenizer:
    defaults = SpecialDefaults(bos=1, eos=2, unknown=0, add_bos=True)
    vocabulary = read_vocabulary(metadata, "spm", defaults)
    prefix = metadata.flag("tokenizer.ggml.add_space_prefix", True)
    encoder = SpmEncoder(vocabulary, add_space_prefix=prefix)
    return GgufTokenizer(vocabulary, encoder, strips_first_space=prefix)


def _load_wpm(metadata: Metadata) -> GgufTokenizer:
    separator = metadata.integer("tokenizer.ggml.seperator_token_id", 102)
    bos = metadata.integer("tokenizer.ggml.cls_token_id", 101)
    defaults = SpecialDefaults(
        bos=bos, eos=separator, unknown=100, separator=separator, add_bos=True, add_eos=True
    )
    vocabulary = read_vocabulary(metadata, "spm", defaults)
    lowercase = metadata.flag("tokenizer.ggml.normalizer.lowercase", True)
    encoder = WpmEncoder(
        vocabulary,
        lowercase=lowercase,
        strip_accents=metadata.flag("tokenizer.ggml.normalizer.strip_accents", lowercase),
    )
    return GgufTokenizer(vocabulary, encoder, strips_first_space=True)


def _load_ugm(metadata: Metadata) -> GgufTokenizer:
    defaults = SpecialDefaults(eos=1, unknown=2, add_eos=True)
    vocabulary = read_vocabulary(metadata, "spm", defaults)
    prefix = metadata.flag("tokenizer.ggml.add_space_prefix", False)
    encoder = UgmEncoder(
        vocabulary,
        normalization=metadata.array("tokenizer.ggml.precompiled_charsmap"),
        add_space_prefix=prefix,
        merge_spaces=metadata.flag("tokenizer.ggml.remove_extra_whitespaces", False),
    )
    return GgufTokenizer(vocabulary, encoder, strips_first_space=prefix)
