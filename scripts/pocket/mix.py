"""The mix of skills in training, and the held-out set of each skill."""

import random
from dataclasses import replace

from scripts.pocket.dialogue import Dialogue, Message, Skill
from scripts.pocket.skills import (
    arithmetic,
    copying,
    extraction,
    help_answers,
    memory,
    style,
    talk,
    tools,
    unknown,
)
from scripts.pocket.template import render_dialogue

SKILLS: dict[str, Skill] = {
    "help": help_answers.make_dialogue,
    "talk": talk.make_dialogue,
    "unknown": unknown.make_dialogue,
    "memory": memory.make_dialogue,
    "copying": copying.make_dialogue,
    "extraction": extraction.make_dialogue,
    "tools": tools.make_dialogue,
    "arithmetic": arithmetic.make_dialogue,
    "style": style.make_dialogue,
}
# Shares of dialogues, not of tokens; the skills that are hardest to learn get more.
WEIGHTS = {
    "help": 26,
    "talk": 7,
    "unknown": 10,
    "memory": 15,
    "copying": 18,
    "extraction": 22,
    "tools": 21,
    "arithmetic": 15,
    "style": 16,
}
JOINED_SHARE = 0.15
# Of the joined conversations, those long enough to reach the end of the context.
LONG_SHARE = 0.01
MAX_JOINED, MAX_LONG_JOINED = 4, 40
MAX_JOINED_CHARACTERS = 5500
THINKING_SHARE = 0.05
# What is thought before an answer that needs no steps; arithmetic writes its own.
THOUGHTS = {
    "help": "A question about LocalLLM.",
    "talk": "Small talk.",
    "unknown": "I cannot know this.",
    "memory": "I look at what was said before.",
    "copying": "I have to write the same text.",
    "extraction": "I have to fill in the keys.",
    "tools": "I look at my tools.",
    "style": "I follow the rule.",
}
JOINABLE = ("help", "talk", "unknown", "copying", "extraction", "arithmetic")


def draw_one(rng: random.Random) -> Dialogue:
    name = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    dialogue = SKILLS[name](rng, "train")
    if name in THOUGHTS and rng.random() < THINKING_SHARE:
        return replace(dialogue, thinking=True, thought=THOUGHTS[name])
    return dialogue


def joined(rng: random.Random) -> Dialogue:
    """A conversation whose turns belong to different skills."""
    messages: list[Message] = []
    most = MAX_LONG_JOINED if rng.random() < LONG_SHARE else MAX_JOINED
    num_characters = 0
    for _ in range(rng.randint(2, most)):
        dialogue = SKILLS[rng.choice(JOINABLE)](rng, "train")
        while dialogue.messages[0]["role"] == "system":
            dialogue = SKILLS[rng.choice(JOINABLE)](rng, "train")
        num_characters += sum(len(m["content"]) for m in dialogue.messages)
        if num_characters > MAX_JOINED_CHARACTERS:
            break
        messages += dialogue.messages
    return Dialogue(messages)


def draw_training_dialogue(rng: random.Random) -> Dialogue:
    return joined(rng) if rng.random() < JOINED_SHARE else draw_one(rng)


def held_out_set(skill: str, count: int) -> list[Dialogue]:
    """The same dialogues on every call; none shares a phrasing or a value with training."""
    rng = random.Random(f"held out {skill}")
    return [SKILLS[skill](rng, "held_out") for _ in range(count)]


def sample_texts(seed: int, count: int) -> list[str]:
    """Text for the tokenizer; the training share only."""
    rng = random.Random(f"tokenizer {seed}")
    return [render_dialogue(draw_training_dialogue(rng)) for _ in range(count)]
