"""Compares our token ids with llama.cpp's over vocabularies of every kind, trained on the spot.

    .venv/bin/python scripts/check_random_vocabularies.py --llama-python PATH [--texts N] [--seed N]

Texts are random: emoji, combining marks, controls, rare spaces, names of special tokens. Also
checks that a text's bytes come back from its tokens. Ends with 1 when a case differs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.tokenizer import Tokenizer, load_gguf_tokenizer  # noqa: E402
from engine.tokenizer.pretokenizers import find_pretokenizer, known_pretokenizers  # noqa: E402
from models.formats.gguf import read_gguf  # noqa: E402

NUM_SHOWN = 3


def check(path: Path) -> tuple[int, int]:
    """(cases that agree, cases) of one vocabulary; prints the first that do not."""
    tokenizer = load_gguf_tokenizer(read_gguf(path))
    cases = json.loads(path.with_suffix(".json").read_text())
    num_right = num_cases = num_shown = 0
    for text, expected in zip(cases["texts"], cases["ids"], strict=True):
        for on, ids in zip((False, True), expected, strict=True):
            found = tokenizer.encode(text, add_special=on, parse_special=on)
            num_cases += 1
            num_right += found == ids
            if found != ids and num_shown < NUM_SHOWN:
                num_shown += 1
                print(f"{path.stem}: {_difference(tokenizer, text, found, ids)}")
    if path.stem.startswith("bpe") and not find_pretokenizer(path.stem[4:]).raw_utf8:
        num_cases += 1
        num_right += all(_comes_back(tokenizer, text) for text in cases["texts"])
    print(f"{path.stem}: {num_right} of {num_cases}", flush=True)
    return num_right, num_cases


def _difference(tokenizer: Tokenizer, text: str, found: list[int], expected: list[int]) -> str:
    place = next(
        (i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]),
        min(len(found), len(expected)),
    )
    before = b"".join(tokenizer.token_bytes(index) for index in found[max(0, place - 3) : place])
    mine, theirs = (
        [tokenizer.token_bytes(index) for index in ids[place : place + 4]]
        for ids in (found, expected)
    )
    return f"{text[:60]!r} after {before!r}: {mine} instead of {theirs}"


def _comes_back(tokenizer: Tokenizer, text: str) -> bool:
    ids = tokenizer.encode(text, add_special=False, parse_special=False)
    return b"".join(tokenizer.token_bytes(index) for index in ids) == text.encode()


def main() -> None:
    """Have vocabularies made, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--llama-python", type=Path, required=True)
    parser.add_argument("--texts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pre", nargs="*", default=known_pretokenizers())
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        make = [asked.llama_python, ROOT / "scripts" / "peers" / "random_vocabularies.py"]
        sizes = ["--texts", str(asked.texts), "--seed", str(asked.seed)]
        command = [*make, "--output", folder, *sizes, "--pre", *asked.pre]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        refused = [line for line in made.stderr.splitlines() if "does not load" in line]
        print("\n".join(refused) if made.returncode == 0 else made.stderr[-2000:])
        results = [check(path) for path in sorted(folder.glob("*.gguf"))]
    num_right = sum(right for right, _ in results)
    num_cases = sum(cases for _, cases in results)
    print(f"{num_right} of {num_cases} agree, in {len(results)} vocabularies")
    sys.exit(num_right != num_cases)


if __name__ == "__main__":
    main()
