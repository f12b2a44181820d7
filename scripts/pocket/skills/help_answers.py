"""Help about LocalLLM: the intents of `help_intents`, asked in many ways."""

import random

from scripts.pocket.dialogue import Dialogue, Split, assistant, pick, share, user
from scripts.pocket.help_intents import INTENTS, Intent
from scripts.pocket.skills.talk import loosen
from scripts.pocket.skills.wording import dress, normal, vary

TO_DO = (
    "How do I {}?",
    "How can I {}?",
    "I want to {}.",
    "How to {}?",
    "What is the command to {}?",
    "Can you tell me how to {}?",
    "How does one {}?",
    "Is there a way to {}?",
    "Tell me how to {}.",
    "I need to {}.",
    "What do I type to {}?",
    "Please explain how to {}.",
    "How would I {}?",
    "Show me how to {}.",
    "What's the way to {}?",
    "I'd like to {}.",
    "Can I {}?",
    "how do you {}",
    "Which command lets me {}?",
    "Help me {}.",
    "what should I do to {}?",
    "Is it possible to {}?",
    "{}",
    "I don't know how to {}.",
    "Could you explain how I can {}?",
    "Where can I {}?",
    "{}, how?",
    "Any way to {}?",
    "In LocalLLM, how do I {}?",
    "What must I do to {}?",
    "How do I {} with localllm?",
    "How can I {} here?",
    "What command do I need to {}?",
    "Quick question: how do I {}?",
    "Let me {}.",
)


HELD_OUT = {
    normal(text)
    for intent in INTENTS
    for items in (intent.questions, intent.to_do)
    if items
    for text in share(items, "held_out")
}


def ask(rng: random.Random, split: Split, intent: Intent) -> str:
    """A held-out question has a held-out core and, where it has a frame, a held-out frame."""
    forbidden = HELD_OUT if split == "train" else ()
    if intent.to_do and rng.random() < 0.6:
        core = vary(rng, pick(rng, intent.to_do, split), forbidden)
        text = pick(rng, TO_DO, split).format(core)
        text = text[0].upper() + text[1:]
    else:
        text = vary(rng, pick(rng, intent.questions, split), forbidden)
    return dress(rng, loosen(rng, text))


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    intent = rng.choice(INTENTS)
    messages = [user(ask(rng, split, intent)), assistant(intent.answer)]
    if rng.random() < 0.1:
        other = rng.choice(INTENTS)
        messages = [user(ask(rng, split, other)), assistant(other.answer), *messages]
    return Dialogue(messages, check="contains", must=intent.must)
