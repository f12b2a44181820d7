"""Help about LocalLLM: the intents of `help_intents`, asked in many ways."""

import random

from scripts.pocket.dialogue import Dialogue, Split, assistant, user
from scripts.pocket.help_intents import INTENTS, Intent
from scripts.pocket.skills.wording import as_typed, dress, normal, vary

HELD_OUT = {normal(text) for intent in INTENTS for text in intent.held_out}


def ask(rng: random.Random, split: Split, intent: Intent) -> str:
    """A held-out question is asked as it is written; a trained one is never one of those."""
    if split == "held_out":
        return as_typed(rng, rng.choice(intent.held_out), slips=0)
    while True:
        text = vary(rng, intent.draw(rng))
        if normal(text) not in HELD_OUT:
            return dress(rng, as_typed(rng, text))


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    intent = rng.choice(INTENTS)
    messages = [user(ask(rng, split, intent)), assistant(rng.choice(intent.answers))]
    if rng.random() < 0.1:
        other = rng.choice(INTENTS)
        earlier = [user(ask(rng, split, other)), assistant(rng.choice(other.answers))]
        messages = earlier + messages
    return Dialogue(messages, check="contains", must=intent.must)
