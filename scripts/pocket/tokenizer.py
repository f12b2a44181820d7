"""The byte-level BPE of `pocket`, with the pre-tokenizer that llama.cpp calls `qwen2`.

Digits are split one by one, every byte is a token, so any text can be written.
"""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

CONTROL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")
MARKUP = ("<think>", "</think>", "<tool_call>", "</tool_call>")
SPECIAL = CONTROL + MARKUP
END = "<|end|>"
# llama.cpp, LLAMA_VOCAB_PRE_TYPE_QWEN2
PRE_TOKENIZER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def make_tokenizer(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRE_TOKENIZER), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train_tokenizer(texts: list[str], vocab_size: int) -> Tokenizer:
    """A tokenizer of exactly `vocab_size` tokens, specials first."""
    tokenizer = make_tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    assert tokenizer.get_vocab_size() == vocab_size, tokenizer.get_vocab_size()
    return tokenizer


def rebuild_tokenizer(tokens: list[str], merges: list[str]) -> Tokenizer:
    """The tokenizer that a GGUF file describes."""
    vocab = {token: i for i, token in enumerate(tokens)}
    pairs = [(first, second) for first, second in (m.split(" ") for m in merges)]
    tokenizer = make_tokenizer(models.BPE(vocab=vocab, merges=pairs))
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def load_tokenizer(path: Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))
