"""How text is cut into words before byte pair encoding, for each name in `tokenizer.ggml.pre`.

The patterns are applied one after the other, each inside the pieces that the one before left; what
no pattern matches stays a piece. Facts from llama.cpp's vocabulary loader, so that ids agree.
"""

from dataclasses import dataclass

from models.errors import Unsupported

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_PUNCTUATION = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER = r"[\p{L}&&[^a-z]]"
_LOWER = r"[\p{L}&&[^A-Z]]"
_ASCII_PUNCTUATION = r"[!\"#$%\&'()*+,\-./:;<=>?@\[\\\]\^_`{|}~]"
_CJK = r"[\x{4E00}-\x{9FA5}\x{3040}-\x{30FF}]+"
_O200K_TAIL = rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_SPACES}"


def _cased_words(upper: str, lower: str, suffix: str = "") -> str:
    """A word that goes from upper to lower case once, with at most one mark in front."""
    start = r"[^\r\n\p{L}\p{N}]?"
    return f"{start}{upper}*{lower}+{suffix}|{start}{upper}+{lower}*{suffix}"


def _names(text: str) -> list[str]:
    return text.split()


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)"
_LLAMA3 = rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_PUNCTUATION}|{_SPACES}"
_QWEN2 = rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_PUNCTUATION}|{_SPACES}"
_DEEPSEEK3_WORDS = (
    rf"{_ASCII_PUNCTUATION}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}"
)
_LATIN_GREEK_CYRILLIC = (
    r"[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}"
    r"\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}"
    r"\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}"
    r"\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}"
    r"\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}"
    r"\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}"
    r"\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}"
    r"\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}"
    r"\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}"
    r"\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}"
    r"\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}"
    r"\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}"
    r"\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}"
    r"\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}"
    r"\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}"
    r"\x{1E900}-\x{1E943}]+"
)
_NOT_SENTENCE_MARK = r" ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+"
_ASIAN = (
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{8C48}-\x{FAFF}\x{3040}-\x{30FF}\x{FF65}-\x{FF9F}"
    r"\x{2F00}-\x{2FDF}\x{E40}-\x{EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}\x{AA60}-\x{AA7F}"
    r"\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+"
)
_CJK_KANA_HANGUL = r"[\x{800}-\x{9FA5}\x{AC00}-\x{D7FF}&&[^\s]]+"
_DIGITS_FROM_THE_RIGHT = r"\P{N}*\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"
"""By threes; what stands before a number stays with its first group, as llama.cpp leaves it."""

_HAN = (
    r"\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2EBEF}"
    r"\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}"
)

_PATTERNS: dict[str, tuple[str, ...]] = {
    "default": (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    "llama3": (_LLAMA3,),
    "jais2": (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_PUNCTUATION}|\s*[\r\n]+|"
        + "|".join(rf"\s{{{2**power}}}(?!\S)" for power in range(9, 1, -1))
        + r"|\s{1,2}(?!\S)|\s{1}",
    ),
    "deepseek-llm": (
        r"[\r\n]",
        rf"\s?{_LATIN_GREEK_CYRILLIC}",
        r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3001}\x{3002}]+",
        r"\s+$",
        _CJK_KANA_HANGUL,
        r"\p{N}+",
    ),
    "deepseek-v3": (r"\p{N}{1,3}", _CJK, _DEEPSEEK3_WORDS),
    "deepseek-coder": (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK_KANA_HANGUL, r"\p{N}"),
    "spark2_5": (
        r"\p{N}{1,3}",
        _CJK,
        rf"{_ASCII_PUNCTUATION}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+"
        r"| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+",
        r"\p{N}",
    ),
    "youtu": (
        r"[\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|"
        + _CJK,
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+{_CONTRACTION}?|\p{{N}}|{_O200K_TAIL}",
    ),
    "falcon": (r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]"),
    "starcoder": (r"\p{N}", _GPT2),
    "gpt-2": (_GPT2,),
    "qwen2": (_QWEN2,),
    "qwen35": (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}",
    ),
    "bloom": (_NOT_SENTENCE_MARK,),
    "viking": (_NOT_SENTENCE_MARK, r"\p{N}"),
    "tekken": (_cased_words(_UPPER, _LOWER) + rf"|\p{{N}}|{_O200K_TAIL}",),
    "chameleon": (
        "<sentinel:[0-9]+>",
        "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
        r"([\t\n]|    |  )",
        r"\p{N}",
        r"[\p{P}!-/:-@\[-`{-~]",
        _GPT2,
    ),
    "gpt-4o": (
        _cased_words(_UPPER, _LOWER, f"{_CONTRACTION}?") + rf"|\p{{N}}{{1,3}}|{_O200K_TAIL}",
    ),
    "granite-embed-multi-97m": (
        _cased_words(r"[\p{L}\p{M}&&[^a-z]]", r"[\p{L}\p{M}&&[^A-Z]]", f"{_CONTRACTION}?")
        + rf"|\p{{N}}{{1,3}}|{_O200K_TAIL}",
    ),
    "tiny_aya": (
        _DIGITS_FROM_THE_RIGHT,
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+{_CONTRACTION}?|\p{{N}}{{1,3}}|{_O200K_TAIL}",
    ),
    "kimi-k2": (
        rf"[{_HAN}]+|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}&&[^{_HAN}]]+{_CONTRACTION}?"
        rf"|\p{{N}}{{1,3}}|{_PUNCTUATION}|{_SPACES}",
    ),
    "superbpe": (r"\p{N}+", r"[0-9]{1,3}(?=(?:[0-9]{3})*(?![0-9]))"),
    "bailingmoe": (
        rf"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_PUNCTUATION}"
        r"|\s*[\r\n]|\s+(?!\S)|\s+",
    ),
    "seed-coder": (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}",
    ),
    "ufakzeka": (rf"[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_PUNCTUATION}|{_SPACES}",),
    "afmoe": (_DIGITS_FROM_THE_RIGHT, _ASIAN, _DEEPSEEK3_WORDS),
    "laguna": (r"[^\n]+|[\n]+", _QWEN2),
    "exaone-moe": (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
    ),
    "gemma4": (r"[^\n]+|[\n]+",),
    "minicpm5": (
        r"\p{N}{1,3}",
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}+|{_PUNCTUATION}|{_SPACES}",
    ),
}

_SAME_PATTERN_AS: dict[str, str] = {
    **dict.fromkeys(
        _names(
            "llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe"
            " chatglm-bpe glm4 glm5"
        ),
        "llama3",
    ),
    **dict.fromkeys(
        _names(
            "phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert mpt"
            " olmo jais trillion granite-docling jina-v1-en jina-v2-code roberta-bpe exaone4"
        ),
        "gpt-2",
    ),
    **dict.fromkeys(
        _names("refact command-r smollm codeshell exaone minerva-7b mellum2"), "starcoder"
    ),
    **dict.fromkeys(
        _names("deepseek-r1-qwen kormo f2llmv2 stablelm2 hunyuan solar-open megrez grok-2"),
        "qwen2",
    ),
    **dict.fromkeys(_names("hunyuan-dense joyai-llm hy_v4"), "deepseek-v3"),
    **dict.fromkeys(_names("llama4 kanana2 talkie minimax-m2"), "gpt-4o"),
    **dict.fromkeys(_names("bailingmoe2 llada-moe"), "bailingmoe"),
    **dict.fromkeys(_names("poro-chat gpt3-finnish"), "bloom"),
    "jais-2": "jais2",
    "cohere2moe": "tiny_aya",
    "sarvam-moe": "gemma4",
    "granite-embed-multi-311m": "gemma4",
}

_LLAMA3_NAMES = frozenset(
    _names("llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano")
)
_WHOLE_WORDS_FIRST = _LLAMA3_NAMES | {
    "youtu",
    "glm4",
    "glm5",
    "tekken",
    "minicpm5",
    "granite-embed-multi-97m",
}
_BOS_BY_DEFAULT = _LLAMA3_NAMES | {
    "tekken",
    "chameleon",
    "gemma4",
    "granite-embed-multi-311m",
}
_NO_BOS = frozenset({"chatglm-bpe", "glm4", "glm5"})
_RAW_UTF8 = frozenset({"gemma4", "sarvam-moe", "granite-embed-multi-311m"})


@dataclass(frozen=True)
class PreTokenizer:
    """What a `tokenizer.ggml.pre` name stands for."""

    patterns: tuple[str, ...]
    """Oniguruma regular expressions."""
    whole_words_first: bool
    """A word that is a token is taken as it is, whatever the merges say."""
    add_bos: bool
    """Unless the file says otherwise."""
    has_bos: bool
    raw_utf8: bool
    """Tokens are UTF-8 with "▁" for a space rather than GPT-2's stand-ins for bytes."""


def find_pretokenizer(name: str) -> PreTokenizer:
    """What `name` stands for; an empty name is "default". Raises Unsupported for unknown names."""
    key = name or "default"
    patterns = _PATTERNS.get(_SAME_PATTERN_AS.get(key, key))
    if patterns is None:
        known = ", ".join(known_pretokenizers())
        raise Unsupported(f"the pre-tokenizer {name!r} is not known; known are {known}")
    return PreTokenizer(
        patterns=patterns,
        whole_words_first=key in _WHOLE_WORDS_FIRST,
        add_bos=key in _BOS_BY_DEFAULT,
        has_bos=key not in _NO_BOS,
        raw_utf8=key in _RAW_UTF8,
    )


def known_pretokenizers() -> list[str]:
    """Every name there is."""
    return sorted(_PATTERNS.keys() | _SAME_PATTERN_AS.keys())
