"""Compares greedy answers to held-out prompts: LocalLLM's daemon beside llama.cpp, one file.

python -m scripts.pocket.agreement --llama-python PATH [--host HOST] [--model FILE]
"""

import argparse
import json
import subprocess
import urllib.request
from pathlib import Path

from scripts.pocket.mix import SKILLS, held_out_set
from scripts.pocket.template import render_prompt

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "models" / "pocket" / "pocket.gguf"
MAX_ANSWER_TOKENS = 300


def our_answer(host: str, model: str, prompt: str) -> str:
    body = {
        "model": model,
        "prompt": prompt,
        "raw": True,
        "stream": False,
        "options": {"temperature": 0, "num_predict": MAX_ANSWER_TOKENS},
    }
    request = urllib.request.Request(
        f"http://{host}/api/generate",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as response:
        answer: str = json.load(response)["response"]
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--llama-python", type=Path, required=True)
    parser.add_argument("--host", default="127.0.0.1:11434")
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--count", type=int, default=10, help="prompts a skill")
    args = parser.parse_args()
    prompts = [
        render_prompt(dialogue.prompt, dialogue.tools, dialogue.thinking)
        for skill in SKILLS
        for dialogue in held_out_set(skill, args.count)
    ]
    command = [args.llama_python, ROOT / "scripts" / "peers" / "llama_cpp_answers.py", args.model]
    theirs = subprocess.run(
        command, input=json.dumps(prompts), capture_output=True, text=True, check=True
    )
    model = str(args.model.absolute())
    num_same = 0
    for prompt, their_answer in zip(prompts, json.loads(theirs.stdout), strict=True):
        answer = our_answer(args.host, model, prompt)
        num_same += answer == their_answer
        if answer != their_answer:
            print(f"{prompt[-120:]!r}\n  ours   {answer!r}\n  theirs {their_answer!r}")
    print(f"{num_same} of {len(prompts)} greedy answers are the same")


if __name__ == "__main__":
    main()
