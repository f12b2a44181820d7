"""Greedy answers of llama.cpp to prompts on stdin (a JSON list of texts); prints a JSON list.

Runs under any Python that has llama-cpp-python; knows nothing of LocalLLM.
"""

import argparse
import json
import sys
from pathlib import Path

import llama_cpp


def main() -> None:
    """Special tokens written in a prompt are tokens; the answer ends where the model ends it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--max-tokens", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    model = llama_cpp.Llama(
        str(asked.model), n_ctx=2048, n_threads=asked.threads, verbose=False, logits_all=False
    )
    answers = []
    for prompt in json.load(sys.stdin):
        tokens = model.tokenize(prompt.encode(), add_bos=False, special=True)
        ids: list[int] = []
        for token in model.generate(tokens, temp=0.0, top_k=1, repeat_penalty=1.0):
            if token == model.token_eos() or len(ids) == asked.max_tokens:
                break
            ids.append(token)
        answers.append(model.detokenize(ids, special=True).decode(errors="replace"))
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
