"""Vocabularies trained on a little text, as GGUF files, and how llama.cpp encodes random text.

Run by scripts/check_random_vocabularies.py under a Python with llama-cpp-python, tokenizers and
sentencepiece.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789\u0660\u0661\u0662\u0663४५६²½Ⅷ",
    " \t\n\r\u00a0\u2003\u2028\u3000\u200b\ufeff",
    ".,;:!?'\"()[]{}<>|/\\@#$%^&*-_=+~`\u00b4\u2019“”…—¿¡",
    "äöüßéèêçñøåæœÀÉÎÕÜžščřłđİıſǅ",
    "абвгдежзийкАБВГДЪЫЬαβγδεΩΣΛאבגדהابتثجحقكلم",
    "漢字仮名交じり文中文测试龍𠀀𪚥かなカナ한국어조합ㄱㅏ",
    "\u0300\u0301\u0308\u0327\u05b0\u064e\u0e31\u0e49\u094d\u200d\ufe0f",
    "กขคงนำ้हिन्दीবাংলাதமிழ்",
    "😀👩👧👍🏽🇩🇪🏳⚧🎉🧑🚀❤",
    "\x00\x01\x07\x1b\x7f\x85\ufffd\ufffe\ue000\U000e0041\U0010ffff\u202e\u2066",
)
PIECES = (
    "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "e\u0301\u0327", "don't", "WE'LL", "it's", "I'M", "  ", "\r\n\r\n",
    "<s>", "</s>", "<unk>", "<|im_end|>", "<|special|>", "[CLS]", "[UNK]", "▁", "▁▁", "Ġ", "<0x41>",
    "12345678", "3.14e-10", "HTTPServer2Go", "snake_case", "http://a.b/c?d=e&f", "\t\t", "नमस्ते",
    "ﬁnancial", "\uff21\uff11", "㎏", "ⅷ", "İstanbul", "ǅ", "ﷺ",
)  # fmt: skip

STARTS = ("<s>", "[CLS]", "<|end|>")


def random_text(rng: random.Random) -> str:
    """Up to forty pieces of all kinds."""
    parts = []
    for _ in range(rng.randrange(1, 40)):
        kind = rng.random()
        if kind < 0.25:
            parts.append(rng.choice(PIECES))
        elif kind < 0.35:
            parts.append(" ")
        elif kind < 0.4:
            code = rng.randrange(0x110000)
            parts.append("x" if 0xD800 <= code < 0xE000 else chr(code))
        else:
            alphabet = rng.choice(ALPHABETS)
            parts.append("".join(rng.choices(alphabet, k=rng.randrange(1, 9))))
    text = "".join(parts)
    while text.startswith(STARTS):  # llama.cpp would put a second one in front
        text = text[1:]
    return text


def corpus(rng: random.Random) -> list[str]:
    """Lines to train on: words of this machine's Python, and random text."""
    words = [line for path in Path(json.__file__).parent.glob("*.py") for line in path.open()]
    return words + [random_text(rng) for _ in range(1500)]


def byte_pairs(lines: list[str], rng: random.Random) -> dict[str, Any]:
    """GPT-2's kind."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=rng.choice((400, 1500, 4000)),
        special_tokens=["<|end|>", "<|im_end|>", "<|special|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    texts = sorted(model["vocab"], key=model["vocab"].get)
    return {
        "model": "gpt2",
        "tokens": texts,
        "token_type": [3] * 3 + [1] * (len(texts) - 3),
        "merges": [" ".join(pair) for pair in model["merges"]],
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def sentence_pieces(
    lines: list[str], rng: random.Random, folder: Path, kind: str
) -> dict[str, Any]:
    """Sentencepiece's "bpe" or "unigram"."""
    import sentencepiece

    (folder / "text").write_text("\n".join(line.replace("\0", "") for line in lines))
    rule = rng.choice(("nmt_nfkc", "identity", "nmt_nfkc_cf", "nfkc"))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "model"),
        vocab_size=rng.choice((3000, 5000)),
        model_type=kind,
        byte_fallback=kind == "bpe",
        hard_vocab_limit=False,
        normalization_rule_name="identity" if kind == "bpe" else rule,
        remove_extra_whitespaces=rng.random() < 0.5,
        add_dummy_prefix=True,
        user_defined_symbols=["<|im_end|>", "<|special|>"],
        character_coverage=0.99,
        minloglevel=2,
    )
    from sentencepiece import sentencepiece_model_pb2 as messages

    proto: Any = vars(messages)["ModelProto"]()
    proto.ParseFromString((folder / "model.model").read_bytes())
    kinds = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6}
    values: dict[str, Any] = {
        "model": "llama" if kind == "bpe" else "t5",
        "tokens": [piece.piece for piece in proto.pieces],
        "scores": [piece.score for piece in proto.pieces],
        "token_type": [kinds[piece.type] for piece in proto.pieces],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unknown_token_id": 0,
        "add_space_prefix": proto.normalizer_spec.add_dummy_prefix and rng.random() < 0.7,
    }
    if kind == "unigram":
        values["remove_extra_whitespaces"] = proto.normalizer_spec.remove_extra_whitespaces
        values["precompiled_charsmap"] = proto.normalizer_spec.precompiled_charsmap
    return values


def word_pieces(lines: list[str], rng: random.Random) -> dict[str, Any]:
    """BERT's kind, as llama.cpp's converter writes it: "▁" in front of words, no "##"."""
    from tokenizers import BertWordPieceTokenizer

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    plain = [line.replace("▁", "") for line in lines]
    tokenizer.train_from_iterator(plain, vocab_size=rng.choice((800, 3000)), show_progress=False)
    vocabulary = tokenizer.get_vocab()
    texts = sorted(vocabulary, key=vocabulary.__getitem__)
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    found = {text: index for index, text in enumerate(texts)}
    return {
        "model": "bert",
        "tokens": [
            text if text in special else text[2:] if text.startswith("##") else "▁" + text
            for text in texts
        ],
        "token_type": [3 if text in special else 1 for text in texts],
        "unknown_token_id": found["[UNK]"],
        "cls_token_id": found["[CLS]"],
        "bos_token_id": found["[CLS]"],
        "eos_token_id": found["[SEP]"],
        "seperator_token_id": found["[SEP]"],
    }


def write(path: Path, values: dict[str, Any]) -> None:
    """A GGUF file that is nothing but a vocabulary."""
    import gguf

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(4096)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    for key, value in values.items():
        name = f"tokenizer.ggml.{key}"
        if isinstance(value, bool):
            writer.add_bool(name, value)
        elif isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, int):
            writer.add_uint32(name, value)
        elif value:
            writer.add_array(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def encode(path: Path, texts: list[str]) -> list[list[list[int]]]:
    """For each text llama.cpp's ids: plain, and with special tokens added and parsed."""
    from llama_cpp import Llama  # type: ignore[import-not-found, unused-ignore]

    model = Llama(str(path), vocab_only=True, verbose=False)
    return [
        [model.tokenize(text.encode(), add_bos=on, special=on) for on in (False, True)]
        for text in texts
    ]


def main() -> None:
    """Write the vocabularies, the texts and their ids."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--texts", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--pre", nargs="+", required=True, help="names of pre-tokenizers")
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    lines = corpus(rng)
    pairs = byte_pairs(lines, rng)
    makers: dict[str, Callable[[], dict[str, Any]]] = {}
    for pre in asked.pre:
        makers[f"bpe-{pre}"] = partial(pairs.__or__, {"pre": pre})
    for number in range(3):
        makers[f"spm-{number}"] = partial(sentence_pieces, lines, rng, asked.output, "bpe")
        makers[f"ugm-{number}"] = partial(sentence_pieces, lines, rng, asked.output, "unigram")
        makers[f"wpm-{number}"] = partial(word_pieces, lines, rng)
    for name, make in makers.items():
        path = asked.output / f"{name}.gguf"
        write(path, make())
        texts = [random_text(rng) for _ in range(asked.texts)]
        try:
            ids = encode(path, texts)
        except ValueError as error:
            print(f"{name}: llama.cpp does not load it: {error}", file=sys.stderr)
            path.unlink()
            continue
        (asked.output / f"{name}.json").write_text(json.dumps({"texts": texts, "ids": ids}))


if __name__ == "__main__":
    main()
