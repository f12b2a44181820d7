"""Style rules in the system prompt: how to end or begin, capitals, one word, and the like.

The rule is applied by code to an ordinary answer, so that the gold answer obeys it exactly.
"""

import random
import re
from dataclasses import replace

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Message, Skill, Split, assistant, pick, share, user
from scripts.pocket.skeletons import expand
from scripts.pocket.skills import arithmetic, copying, help_answers, memory, talk, unknown
from scripts.pocket.skills.style_rules import DONT_KNOW, MARKS, ONE_WORD, ONE_WORD_QA, RULES, YES_NO

PLAIN: tuple[Skill, ...] = (
    talk.make_dialogue,
    talk.make_dialogue,
    unknown.make_dialogue,
    unknown.make_dialogue,
    arithmetic.make_dialogue,
    copying.make_dialogue,
    memory.make_dialogue,
    help_answers.make_dialogue,
)
INTROS = (
    "",
    "",
    "",
    "",
    "You are a friendly assistant. ",
    "You are Pocket. ",
    "You are a <helpful |>bot. ",
    "<Be|Stay> polite. ",
    "You help the user. ",
    "You are an assistant that follows rules. ",
    "Rule: ",
    "Important: ",
)
SHARES = {
    "end": 22,
    "begin": 12,
    "both": 2,
    "capitals": 16,
    "lower": 8,
    "brackets": 4,
    "quotes": 4,
    "plain": 4,
    "json": 4,
    "name": 3,
    "line": 3,
    "one_word": 14,
    "yes_no": 4,
    "dont_know": 4,
}


def mark_text(rng: random.Random, split: Split) -> str:
    if rng.random() < 0.5:
        return pick(rng, MARKS, split)
    count = rng.choice((1, 1, 2, 3))
    text = " ".join(
        words.new_word(rng, split) if rng.random() < 0.6 else rng.choice(words.COMMON)
        for _ in range(count)
    )
    return rng.choice((text, text.upper(), text.capitalize())) + rng.choice(("", "!", "."))


def is_short(dialogue: Dialogue) -> bool:
    answers = [m["content"] for m in dialogue.messages if m["role"] == "assistant"]
    is_plain = not dialogue.thinking and dialogue.messages[0]["role"] == "user"
    return is_plain and all(len(x) < 220 and re.search(r"\w", x) for x in answers)


def plain_dialogue(rng: random.Random, split: Split) -> Dialogue:
    """A short dialogue of another skill, sometimes two of them."""
    make = rng.choice(PLAIN)
    while True:
        dialogue = make(rng, split)
        if not is_short(dialogue):
            continue
        if rng.random() < 0.25:
            before = rng.choice(PLAIN)(rng, split)
            if is_short(before):
                return replace(dialogue, messages=[*before.messages, *dialogue.messages])
        return dialogue


def system_message(rng: random.Random, split: Split, rules: tuple[str, ...], mark: str) -> Message:
    text = expand(rng, rng.choice(INTROS)) + expand(rng, pick(rng, rules, split))
    return {"role": "system", "content": text.replace("{}", mark).replace("{0}", mark)}


def one_word(rng: random.Random, split: Split) -> Dialogue:
    system = system_message(rng, split, ONE_WORD, "")
    if rng.random() < 0.65:
        messages: list[Message] = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            question, answer = word_question(rng, split)
            messages += [user(question), assistant(answer)]
        return Dialogue([system, *messages], check="matches", must=(r"\A\S+\Z",))
    kind = rng.choice(("name", "color", "food", "animal", "city", "job"))
    value = memory.make_value(kind, rng, split)
    told = memory.told(rng, split, kind).replace("{}", value)
    asked = memory.asked(rng, split, kind)
    return Dialogue([system, user(told), assistant("Okay"), user(asked), assistant(value)])


def word_question(rng: random.Random, split: Split) -> tuple[str, str]:
    """A question that one word answers: a known one, a sum, or what cannot be known."""
    kind = rng.random()
    if kind < 0.5:
        return pick(rng, ONE_WORD_QA, split)
    if kind < 0.7:
        sum_ = arithmetic.turn(rng, split)[0]
        return sum_[0]["content"], sum_[1]["content"]
    return unknown.make_dialogue(rng, split).messages[-2]["content"], "Unknown"


def yes_no(rng: random.Random, split: Split) -> Dialogue:
    system = system_message(rng, split, YES_NO, "")
    known = [qa for qa in share(ONE_WORD_QA, split) if qa[1] in ("Yes", "No")]
    messages: list[Message] = []
    for _ in range(rng.choice((1, 1, 2))):
        question, answer = rng.choice(known)
        if rng.random() < 0.4:
            a, sign, b = arithmetic.draw_problem(rng, split)
            right = arithmetic.result(a, sign, b)
            shown = right + rng.choice((0, 0, 1, -1, 10))
            question = f"Is {a} {sign} {b} = {shown}?"
            answer = "Yes" if shown == right else "No"
        messages += [user(question), assistant(answer)]
    return Dialogue([system, *messages])


def dont_know(rng: random.Random, split: Split, mark: str) -> Dialogue:
    """What cannot be known gets the mark; anything else its answer."""
    system = system_message(rng, split, DONT_KNOW, mark)
    base = unknown.make_dialogue(rng, split)
    if rng.random() < 0.3:
        return replace(
            base, messages=[system, *arithmetic.make_dialogue(rng, split).messages], check="exact"
        )
    messages = [*base.messages[:-1], assistant(mark)]
    return Dialogue([system, *messages])


def obeyed(rng: random.Random, split: Split, kind: str, mark: str) -> Dialogue:
    rule = RULES[kind]
    base = plain_dialogue(rng, split)
    system = system_message(rng, split, rule.phrasings, mark)
    messages = [
        assistant(rule.apply(m["content"], mark)) if m["role"] == "assistant" else m
        for m in base.messages
    ]
    form = rule.form.replace("{0}", re.escape(mark)).replace("{}", re.escape(mark))
    return Dialogue([system, *messages], check="matches", must=(form,))


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    if kind == "one_word":
        return one_word(rng, split)
    if kind == "yes_no":
        return yes_no(rng, split)
    mark = words.person(rng, split) if kind == "name" else mark_text(rng, split)
    return dont_know(rng, split, mark) if kind == "dont_know" else obeyed(rng, split, kind, mark)
