"""Compares what we render of published chat templates with what transformers does.

    .venv/bin/python scripts/check_templates.py FOLDER --peer-python PATH

FOLDER holds *.jinja, such as llama.cpp's models/templates. Sixteen conversations each: systems,
turns, tools, calls, thoughts. Ends with 1 when a text differs.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.text.chat_template import ChatTemplate  # noqa: E402
from models.errors import UserError  # noqa: E402
from scripts.peers.chat_templates import CASES  # noqa: E402


def render(template: ChatTemplate, name: str) -> str | None:
    """Our text of one case; None where the template refuses."""
    messages, more = CASES[name]
    try:
        return template.render(
            json.loads(json.dumps(messages)),
            tools=more.get("tools"),
            thinking=more.get("enable_thinking"),
            add_generation_prompt=more.get("generate", True),
        )
    except UserError:
        return None


def describe(ours: str | None, theirs: str | None) -> str:
    """How two results stand to each other."""
    if ours == theirs:
        return "equal" if ours is not None else "both refuse"
    if theirs and "[{'type': 'text'" in theirs:
        return "transformers prints a Python list"
    if theirs is None:
        return "only transformers refuses"
    return "only we refuse" if ours is None else "differ"


def main() -> None:
    """Render, compare, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer-python", type=Path, required=True)
    asked = parser.parse_args()
    peer = [asked.peer_python, ROOT / "scripts" / "peers" / "chat_templates.py", asked.folder]
    done = subprocess.run(peer, capture_output=True, text=True, check=True)
    expected = json.loads(done.stdout.splitlines()[-1])
    counts: Counter[str] = Counter()
    for stem, texts in expected.items():
        source = (asked.folder / f"{stem}.jinja").read_text()
        template = ChatTemplate(source, bos_token="<s>", eos_token="</s>")
        for name, theirs in texts.items():
            kind = describe(render(template, name), theirs)
            counts[kind] += 1
            if kind in ("differ", "only we refuse"):
                print(f"{stem}, {name}: {kind}")
    print(f"{len(expected)} templates: {dict(counts)}")
    sys.exit(1 if counts["differ"] or counts["only we refuse"] else 0)


if __name__ == "__main__":
    main()
