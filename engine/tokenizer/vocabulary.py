"""A GGUF file's vocabulary: texts, types, scores, special tokens, and the bytes of each token.

Knows nothing about how text is cut into tokens. Rules for special tokens as in llama.cpp.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from engine.network.gguf_values import Metadata
from models.errors import InvalidModelFile

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6

TextEncoding = Literal["stand-ins", "spm", "plain"]
"""`stand-ins`: one printable character for each byte (GPT-2); `spm`: UTF-8 with "▁" for a space;
`plain`: UTF-8 as it is."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILL_IN_THE_MIDDLE_ENDS = _names(
    "<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD] <|fim_repo|> <|repo_name|> <fim-repo> <REPO>"
    " <reponame> <|file_sep|>"
)
_ENDS = _names(
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn>"
    " <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance>"
    " <eos> <turn|> <|tool_response> <\uff5cend\u2581of\u2581sentence\uff5c> [e~["
)
_FILL_IN_THE_MIDDLE_MARKS = _names(
    "<|fim_prefix|> <fim-prefix> <fim_prefix> <\uff5cfim\u2581begin\uff5c> <PRE> ▁<PRE>"
    " <|code_prefix|> <|prefix|> <|fim_suffix|> <fim-suffix> <fim_suffix>"
    " <\uff5cfim\u2581hole\uff5c> <SUF> ▁<SUF> <|code_suffix|> <|suffix|> <|fim_middle|>"
    " <fim-middle> <fim_middle> <\uff5cfim\u2581end\uff5c> <MID> ▁<MID> <|code_middle|>"
    " <|middle|>"
)
_CHANNEL_MARKS = _names("<|channel|> <|message|> <|start|> <|constrain|>")
_BYTE_NAME = re.compile("<0x[0-9A-Fa-f]{2}>")
_NO_RSTRIP = frozenset({"<unk>", "<s>", "<|endoftext|>"})


def _bytes_of_stand_ins() -> dict[str, int]:
    """GPT-2's printable stand-in for each of the 256 bytes, the other way round."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {chr(byte): byte for byte in printable}
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


BYTES_OF_STAND_INS = _bytes_of_stand_ins()


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id; `control` ones never appear in answers, `partition` ones are cut out first."""

    texts: list[str]
    scores: list[float]
    types: list[int]
    encoding: TextEncoding
    bos_token_id: int | None
    eos_token_id: int | None
    unknown_token_id: int | None
    separator_token_id: int | None
    add_bos: bool
    add_eos: bool
    strips_right: bool
    """Special tokens swallow the white space after them (Phi-3)."""

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token id by text."""
        return {text: index for index, text in enumerate(self.texts)}

    @cached_property
    def control(self) -> frozenset[int]:
        """Tokens that only mean something to the model: never parsed from untrusted text."""
        marks = _ENDS | _FILL_IN_THE_MIDDLE_ENDS | _FILL_IN_THE_MIDDLE_MARKS
        found = {index for index, kind in enumerate(self.types) if kind in (_CONTROL, _UNKNOWN)}
        found |= {self.ids[text] for text in marks if text in self.ids}
        shown = {self.ids[text] for text in _CHANNEL_MARKS if text in self.ids}
        if self._ends_with_calls and "<|end|>" in self.ids:
            shown.add(self.ids["<|end|>"])
        if self._has_plain_s and "</s>" in self.ids:
            shown.add(self.ids["</s>"])
        return frozenset(found - shown)

    @cached_property
    def user_defined(self) -> frozenset[int]:
        """Added tokens that are ordinary text."""
        found = {index for index, kind in enumerate(self.types) if kind == _USER_DEFINED}
        found |= {self.ids[text] for text in _CHANNEL_MARKS if text in self.ids}
        if self._ends_with_calls and "<|end|>" in self.ids:
            found.add(self.ids["<|end|>"])
        return frozenset(found - self.control)

    @cached_property
    def partition(self) -> tuple[int, ...]:
        """Tokens that are found in text before anything else, the longest first."""
        found = self.control | self.user_defined
        return tuple(sorted(found, key=lambda index: (-len(self.texts[index].encode()), index)))

    @cached_property
    def end_token_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        texts = _ENDS | _FILL_IN_THE_MIDDLE_ENDS
        found = {self.ids[text] for text in texts if text in self.ids}
        if self.eos_token_id is not None:
            found.add(self.eos_token_id)
        if self._ends_with_calls:
            found.discard(self.ids.get("<|end|>", -1))
        if self._has_plain_s:
            found.discard(self.ids.get("</s>", -1))
        return frozenset(found)

    def rstrips(self, token_id: int) -> bool:
        """Whether white space after this special token is dropped."""
        return self.strips_right and self.texts[token_id] not in _NO_RSTRIP

    def token_bytes(self, token_id: int) -> bytes:
        """What the token adds to the text; special tokens give their name, unused ones nothing."""
        text = self.texts[token_id]
        kind = self.types[token_id]
        if token_id in self.control or token_id in self.user_defined:
            return text.encode()
        if kind == _BYTE and len(text) == 6:
            return bytes([int(text[3:5], 16)])
        if kind in (_UNUSED, 0):
            return b""
        if self.encoding == "stand-ins":
            known = (BYTES_OF_STAND_INS.get(char) for char in text)
            return b"".join(
                char.encode() if byte is None else bytes([byte])
                for char, byte in zip(text, known, strict=True)
            )
        return (text.replace("▁", " ") if self.encoding == "spm" else text).encode()

    @cached_property
    def _ends_with_calls(self) -> bool:
        """Harmony and Solar: <|end|> closes a message, other tokens close the turn."""
        has = self.ids.keys()
        harmony = {"<|return|>", "<|call|>"} <= has or {"<|return|>", "<|calls|>"} <= has
        return harmony or ("<|flush|>" in has and ("<|calls|>" in has or "<|call|>" in has))

    @cached_property
    def _has_plain_s(self) -> bool:
        """Gemma 4 and PLaMo: </s> is an HTML tag."""
        return "<|tool_response>" in self.ids or "<|plamo:eos|>" in self.ids


@dataclass(frozen=True)
class SpecialDefaults:
    """What a tokenizer kind assumes where the file is silent."""

    bos: int | None = None
    eos: int | None = None
    unknown: int | None = None
    separator: int | None = None
    add_bos: bool = False
    add_eos: bool = False


def read_vocabulary(
    metadata: Metadata, encoding: TextEncoding, defaults: SpecialDefaults
) -> Vocabulary:
    """The vocabulary in `metadata`. Raises InvalidModelFile when it is missing or inconsistent."""
    texts = metadata.strings("tokenizer.ggml.tokens")
    if not texts:
        raise InvalidModelFile("the GGUF value 'tokenizer.ggml.tokens' is missing or empty")
    texts = [text or f"[EMPTY_{index}]" for index, text in enumerate(texts)]
    if len(set(texts)) != len(texts):
        raise InvalidModelFile("'tokenizer.ggml.tokens' has the same token twice")

    def special(name: str, default: int | None) -> int | None:
        if default is not None and default >= len(texts):
            default = None
        found = metadata.integer(f"tokenizer.ggml.{name}_token_id", -1)
        return found if 0 <= found < len(texts) else default

    name = metadata.string("general.name", "").lower()
    types = [int(kind) for kind in _per_token(metadata, "token_type", len(texts), _NORMAL)]
    for text, kind in zip(texts, types, strict=True):
        if kind == _BYTE and len(text) == 6 and not _BYTE_NAME.fullmatch(text):
            raise InvalidModelFile(f"'tokenizer.ggml.tokens' has {text!r} as a byte")
    return Vocabulary(
        texts=texts,
        scores=[float(score) for score in _per_token(metadata, "scores", len(texts), 0)],
        types=types,
        encoding=encoding,
        bos_token_id=special("bos", defaults.bos),
        eos_token_id=special("eos", defaults.eos),
        unknown_token_id=special("unknown", defaults.unknown),
        separator_token_id=special("seperator", defaults.separator),
        add_bos=metadata.flag("tokenizer.ggml.add_bos_token", defaults.add_bos),
        add_eos=metadata.flag("tokenizer.ggml.add_eos_token", defaults.add_eos),
        strips_right="phi-3" in name or "phi3" in name,
    )


def _per_token(metadata: Metadata, name: str, num_tokens: int, default: int) -> list[float]:
    values = metadata.array(f"tokenizer.ggml.{name}")
    if values is None:
        return [default] * num_tokens
    if len(values) < num_tokens:
        raise InvalidModelFile(
            f"'tokenizer.ggml.{name}' has {len(values)} entries for {num_tokens} tokens"
        )
    found: list[float] = values[:num_tokens].tolist()
    if any(math.isnan(value) for value in found):
        raise InvalidModelFile(f"'tokenizer.ggml.{name}' has values that are no numbers")
    return found
