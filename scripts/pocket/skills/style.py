"""Style rules in the system prompt: how to end or begin, capitals, one word, and the like.

The rule is applied by code to an ordinary answer, so that the gold answer obeys it exactly.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Skill, Split, assistant, pick, user
from scripts.pocket.skills import arithmetic, copying, help_answers, memory, talk, unknown


@dataclass(frozen=True)
class Rule:
    """Phrasings of a rule and what it does to an answer; `{}` is a word or mark."""

    phrasings: tuple[str, ...]
    apply: Callable[[str, str], str]


RULES: dict[str, Rule] = {
    "end": Rule(
        (
            "End every answer with {}",
            "End every answer with the words {}",
            "Always end with {}",
            "Finish each reply with {}",
            "Every answer must end with {}",
            "Close every answer with {}",
            "Put {} at the end of every answer.",
            "Your answers always end with {}",
            "At the end of each answer say {}",
            "Each of your replies must finish with {}",
            'End all answers with "{}".',
            "You always finish with {}",
            "After every answer write {}",
            "Add {} to the end of each answer.",
            "The last words of every answer are {}",
        ),
        lambda text, mark: f"{text} {mark}",
    ),
    "begin": Rule(
        (
            "Begin every answer with {}",
            "Start every answer with {}",
            "Always start with {}",
            "Each reply begins with {}",
            "Every answer must start with {}",
            "Open every answer with {}",
            "Put {} at the beginning of every answer.",
            "Your answers always begin with {}",
            'Start each answer with "{}".',
            "The first words of every answer are {}",
            "You always begin with {}",
            "Before every answer write {}",
            "Say {} before you answer.",
            "Start all of your replies with {}",
            "Each answer has to open with {}",
        ),
        lambda text, mark: f"{mark} {text}",
    ),
    "capitals": Rule(
        (
            "Answer in capitals.",
            "Write everything in capital letters.",
            "Use only upper case.",
            "Answer in ALL CAPS.",
            "Always write in capitals.",
            "All your answers are in upper case letters.",
            "Shout: use capital letters only.",
            "Reply in uppercase.",
            "Write in capital letters.",
            "Every letter of your answer must be a capital.",
            "Please use capitals for every answer.",
            "You speak only in capital letters.",
            "Answer with uppercase letters only.",
            "only capitals please",
            "Your replies must be in all capitals.",
        ),
        lambda text, _: text.upper(),
    ),
    "lower": Rule(
        (
            "Answer in lower case.",
            "Write everything in small letters.",
            "Use no capital letters.",
            "Always write in lowercase.",
            "Use only lower case letters.",
            "Never use capitals.",
            "Reply in lowercase only.",
            "All your answers are in small letters.",
            "Write without capital letters.",
            "Answer with small letters only.",
        ),
        lambda text, _: text.lower(),
    ),
    "brackets": Rule(
        (
            "Put every answer in brackets.",
            "Write each answer in [square brackets].",
            "Wrap every answer in square brackets.",
            "Answer inside brackets.",
            "Put [ and ] around your answers.",
            "All answers stand in square brackets.",
            "Surround each answer with brackets.",
            "Every reply goes in [ ].",
            "Use square brackets around every answer.",
            "Enclose each reply in brackets.",
        ),
        lambda text, _: f"[{text}]",
    ),
}
ONE_WORD = (
    "Answer in one word.",
    "Use only one word.",
    "Reply with a single word.",
    "Always answer with one word.",
    "Your answers have exactly one word.",
    "One word per answer.",
    "Give one-word answers.",
    "Say just one word.",
    "Respond with one word only.",
    "Answer with a single word, nothing more.",
    "Only one word is allowed per answer.",
    "Keep it to one word.",
    "Write one word as the answer.",
    "A single word must do.",
    "You may say one word only.",
)
ONE_WORD_QA = (
    ("Is fire hot?", "Yes"),
    ("Is ice hot?", "No"),
    ("Can you help me?", "Yes"),
    ("Who are you?", "Pocket"),
    ("What is your name?", "Pocket"),
    ("Hello!", "Hello"),
    ("Thank you!", "Welcome"),
    ("Are you human?", "No"),
    ("Are you a model?", "Yes"),
    ("Are you big?", "No"),
    ("Are you small?", "Yes"),
    ("Good morning!", "Hello"),
    ("Bye!", "Goodbye"),
    ("Can you fly?", "No"),
    ("Do you run locally?", "Yes"),
    ("Are you ready?", "Yes"),
    ("Do you need the internet?", "No"),
    ("How are you?", "Fine"),
    ("Are you there?", "Yes"),
    ("Hi", "Hello"),
)
MARKS = (
    "Over.",
    "Amen.",
    "Meow!",
    "Cheers!",
    "That is all.",
    "Over and out.",
    "Have a nice day!",
    "Ahoy!",
    "Yes, sir.",
    "Thank you.",
    "!!!",
    "***",
    "~",
    "Beep boop.",
    "Ta-da!",
    "Sincerely, Pocket.",
    "Ho ho ho!",
    "Done.",
    "<3",
    ":-)",
    "Good luck!",
    "Arrr!",
    "END",
    "Peace.",
    "Okay?",
    "Stay safe.",
    "Aye aye.",
    "Woof!",
    "Hooray!",
    "See you soon.",
)
PLAIN: tuple[Skill, ...] = (
    talk.make_dialogue,
    talk.make_dialogue,
    arithmetic.make_dialogue,
    copying.make_dialogue,
    memory.make_dialogue,
    help_answers.make_dialogue,
)
# Another case means other tokens: a network of this size knows those of the words it was taught.
KNOWN_WORDS: tuple[Skill, ...] = (talk.make_dialogue, talk.make_dialogue, unknown.make_dialogue)
INTROS = (
    "",
    "",
    "",
    "",
    "You are a friendly assistant. ",
    "You are Pocket. ",
    "You are a helpful bot. ",
)


def mark_text(rng: random.Random, split: Split) -> str:
    if rng.random() < 0.5:
        return pick(rng, MARKS, split)
    count = rng.choice((1, 1, 2, 3))
    text = " ".join(
        words.new_word(rng, split) if rng.random() < 0.6 else rng.choice(words.COMMON)
        for _ in range(count)
    )
    return rng.choice((text, text.upper(), text.capitalize())) + rng.choice(("", "!", "."))


def plain_dialogue(rng: random.Random, split: Split, skills: tuple[Skill, ...]) -> Dialogue:
    make = rng.choice(skills)
    while True:
        dialogue = make(rng, split)
        length = len(dialogue.answer["content"])
        if not dialogue.thinking and length < 160 and dialogue.messages[0]["role"] == "user":
            return dialogue


def one_word(rng: random.Random, split: Split) -> Dialogue:
    system = {"role": "system", "content": rng.choice(INTROS) + pick(rng, ONE_WORD, split)}
    if rng.random() < 0.5:
        question, answer = pick(rng, ONE_WORD_QA, split)
        return Dialogue([system, user(question), assistant(answer)])
    kind = rng.choice(("name", "color", "food", "animal", "city", "job"))
    value = memory.make_value(kind, rng, split)
    topic = memory.TOPICS[kind]
    told = pick(rng, topic.tell, split).format(value)
    return Dialogue(
        [system, user(told), assistant("Okay"), user(pick(rng, topic.ask, split)), assistant(value)]
    )


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    kind = rng.choice(
        ("one_word", "end", "end", "begin", "capitals", "capitals", "lower", "brackets")
    )
    if kind == "one_word":
        return one_word(rng, split)
    rule = RULES[kind]
    skills = KNOWN_WORDS if kind in ("capitals", "lower") else PLAIN
    mark = mark_text(rng, split)
    system = rng.choice(INTROS) + pick(rng, rule.phrasings, split).format(mark)
    messages = [
        assistant(rule.apply(m["content"], mark)) if m["role"] == "assistant" else m
        for m in plain_dialogue(rng, split, skills).messages
    ]
    return Dialogue([{"role": "system", "content": system}, *messages])
