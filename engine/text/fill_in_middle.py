"""Prompts for text between two others, by the marks that a vocabulary has for it."""

from dataclasses import dataclass

from engine.tokenizer import Tokenizer


@dataclass(frozen=True)
class _Marks:
    """What stands before the prefix, before the suffix and, where it has one, at the gap."""

    prefix: str
    suffix: str
    middle: str
    suffix_first: bool = False


_KNOWN = (
    _Marks("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    _Marks("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    _Marks("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    _Marks("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # noqa: RUF001
    _Marks("▁<PRE>", "▁<SUF>", "▁<MID>"),
    _Marks("<PRE>", "<SUF>", "<MID>"),
    _Marks("<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>"),
    _Marks("<|prefix|>", "<|suffix|>", "<|middle|>"),
    _Marks("[PREFIX]", "[SUFFIX]", "", suffix_first=True),
)
"""Qwen, CodeGemma; StarCoder; Granite; DeepSeek; CodeLlama; GLM; Codestral."""


def encode_infill(tokenizer: Tokenizer, prefix: str, suffix: str) -> list[int] | None:
    """Token ids after which the model writes what stands between `prefix` and `suffix`.

    None: the vocabulary has no marks for that.
    """
    for marks in _KNOWN:
        names = (marks.prefix, marks.suffix, *([marks.middle] if marks.middle else []))
        ids = [tokenizer.token_id(name) for name in names]
        if None in ids:
            continue
        before, after, *gap = [token_id for token_id in ids if token_id is not None]
        start = [each for each in tokenizer.encode("")[:1] if each == tokenizer.bos_token_id]
        head, tail = _encode(tokenizer, prefix), _encode(tokenizer, suffix)
        if marks.suffix_first:
            return [*start, after, *tail, before, *head]
        return [*start, before, *head, after, *tail, *gap]
    return None


def _encode(tokenizer: Tokenizer, text: str) -> list[int]:
    """Text as it is: a mark's name in it is no mark."""
    return tokenizer.encode(text, add_special=False, parse_special=False, continues=True)
