"""Scores every skill on its held-out set through a running `localllm serve`, at temperature 0."""

import argparse
import json
import os
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from scripts.pocket.dialogue import Dialogue, Message
from scripts.pocket.mix import SKILLS, held_out_set
from scripts.pocket.scoring import is_right

DEFAULT_HOST = "127.0.0.1:11434"
MAX_ANSWER_TOKENS = 300
TIMEOUT_S = 120
# The daemon computes them as one batch, and each as if it were alone.
AT_ONCE = 8


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/pocket/evaluate", description=__doc__)
    parser.add_argument("--host", default=os.environ.get("LOCALLLM_HOST", DEFAULT_HOST))
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--skill", choices=sorted(SKILLS), action="append", help="default: all")
    parser.add_argument("--count", type=int, default=100, help="dialogues a skill")
    parser.add_argument("--failures", type=int, default=0, help="wrong answers shown a skill")
    parser.add_argument("--json", action="store_true", help="print an object, not a table")
    return parser.parse_args()


def ask(host: str, model: str, dialogue: Dialogue) -> Message:
    """The daemon's answer to a dialogue's prompt."""
    body: dict[str, Any] = {
        "model": model,
        "messages": dialogue.prompt,
        "stream": False,
        "think": dialogue.thinking,
        "options": {"temperature": 0, "num_predict": MAX_ANSWER_TOKENS},
    }
    if dialogue.tools:
        body["tools"] = dialogue.tools
    request = urllib.request.Request(
        f"http://{host}/api/chat",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        message: Message = json.load(response)["message"]
    return message


def failures(
    host: str, model: str, dialogues: list[Dialogue]
) -> Iterator[tuple[Dialogue, Message]]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        replies = pool.map(partial(ask, host, model), dialogues)
        for dialogue, reply in zip(dialogues, replies, strict=True):
            if not is_right(dialogue, reply):
                yield dialogue, reply


def show(dialogue: Dialogue, reply: Message) -> None:
    print("  asked:  ", repr(dialogue.prompt[-1]["content"]))
    print("  wanted: ", repr(dialogue.answer["content"] or dialogue.answer.get("tool_calls")))
    print("  got:    ", repr(reply["content"] or reply.get("tool_calls")))


def main() -> None:
    args = parse_arguments()
    scores: dict[str, float] = {}
    for skill in args.skill or SKILLS:
        dialogues = held_out_set(skill, args.count)
        wrong = list(failures(args.host, args.model, dialogues))
        scores[skill] = 100 * (1 - len(wrong) / len(dialogues))
        if not args.json:
            print(f"{skill:<12} {scores[skill]:5.1f} %  of {len(dialogues)}", flush=True)
        for dialogue, reply in wrong[: args.failures]:
            show(dialogue, reply)
    if args.json:
        print(json.dumps(scores))


if __name__ == "__main__":
    main()
