"""The honest answer to what a model of this size cannot know or do, as `unknown.toml` asks it.

Sums beyond two digits and products beyond 12 x 12 are unknown; `arithmetic` has the others.
"""

import random
import tomllib
from pathlib import Path

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Split, assistant, user
from scripts.pocket.phrasing import Draw, Phrase, Phrasings, parse
from scripts.pocket.skills.wording import as_typed, dress, normal

TOO_SMALL = "I am too small for that. A bigger model can help: try `localllm pull qwen3:4b`."

# Made-up words and names teach that an unfamiliar matter is an unknown one.
SLOTS: dict[str, Draw] = {
    "pseudo": lambda rng: words.new_name(rng, "train"),
    "name": lambda rng: words.person(rng, "train"),
    "year": lambda rng: str(rng.randint(1500, 2026)),
    "n": lambda rng: str(rng.randint(2, 99)),
    "teen": lambda rng: str(rng.randint(13, 99)),
    "big": lambda rng: str(rng.randint(101, 10 ** rng.randint(3, 7))),
}
MADE_UP_SHARE = 0.12
SUBJECTS = ("place", "topic", "famous", "food", "animal", "thing")


def or_made_up(listed: Phrase) -> Draw:
    """A word of the list, now and then a made-up one in its place."""

    def draw(rng: random.Random) -> str:
        return words.new_name(rng, "train") if rng.random() < MADE_UP_SHARE else listed.draw(rng)

    return draw


def read_phrasings(path: Path) -> tuple[Phrasings, tuple[str, ...], dict[str, Draw]]:
    """What is trained, what is held out, and a draw for every slot."""
    table = tomllib.loads(path.read_text())
    lists = {name: parse(f"<{text}>") for name, text in table["slots"].items()}
    slots = SLOTS | {n: or_made_up(p) if n in SUBJECTS else p.draw for n, p in lists.items()}
    phrasings = table["phrasings"]
    return Phrasings(phrasings["ask"]), tuple(phrasings["held_out"]), slots


TRAINED, HELD_OUT, FILLERS = read_phrasings(Path(__file__).with_suffix(".toml"))
HELD_OUT_WORDS = {normal(text) for text in HELD_OUT}


def ask(rng: random.Random, split: Split) -> str:
    """A held-out question is asked as it is written; a trained one is never one of those."""
    if split == "held_out":
        return as_typed(rng, rng.choice(HELD_OUT), slips=0)
    while True:
        text = TRAINED.draw(rng, FILLERS)
        if normal(text) not in HELD_OUT_WORDS:
            return dress(rng, as_typed(rng, text, slips=0.08))


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    return Dialogue(
        [user(ask(rng, split)), assistant(TOO_SMALL)], check="contains", must=("localllm pull",)
    )
