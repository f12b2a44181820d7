"""Compares our token ids with llama.cpp's own vocabulary tests.

Usage: python scripts/check_vocabularies.py FOLDER
FOLDER is llama.cpp's `models/`: ggml-vocab-*.gguf, each with .inp (texts) and .out (ids) beside it.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.tokenizer import load_gguf_tokenizer
from models.formats.gguf import read_gguf

_SEPARATOR = "\n__ggml_vocab_test__\n"


def check(path: Path) -> tuple[int, int]:
    """(cases that agree, cases) of one vocabulary; prints the ones that do not."""
    start_s = time.perf_counter()
    tokenizer = load_gguf_tokenizer(read_gguf(path))
    load_s = time.perf_counter() - start_s
    inputs = Path(f"{path}.inp")
    if not inputs.exists():
        print(f"{path.name}: loads in {load_s:.2f} s, no cases")
        return 0, 0
    texts = inputs.read_bytes().decode().split(_SEPARATOR)
    lines = Path(f"{path}.out").read_text().split("\n")
    num_right = 0
    for text, line in zip(texts, lines, strict=False):
        expected = [int(token_id) for token_id in line.split()]
        found = tokenizer.encode(text, add_special=False, parse_special=False)
        num_right += found == expected
        if found != expected:
            print(f"{path.name}: {text!r}\n  found    {found}\n  expected {expected}")
    print(f"{path.name}: {num_right} of {len(texts)} agree, loads in {load_s:.2f} s")
    return num_right, len(texts)


def main() -> None:
    """Check every vocabulary in the folder; exit 1 when a case differs."""
    results = [check(path) for path in sorted(Path(sys.argv[1]).glob("ggml-vocab-*.gguf"))]
    num_right = sum(right for right, _ in results)
    num_cases = sum(cases for _, cases in results)
    print(f"{num_right} of {num_cases} agree")
    sys.exit(num_right != num_cases)


if __name__ == "__main__":
    main()
