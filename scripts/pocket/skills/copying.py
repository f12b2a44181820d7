"""Copying: repeat a text exactly, quote an item of a list, continue from the last message.

The texts are made of common and invented words, numbers, codes and lines of code; the
phrasings of the request and the invented values are split by `share` and `is_held_out`.
"""

import random

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Split, assistant, draw, pick, user

REPEAT = (
    "Repeat exactly: {}",
    "Repeat this text exactly: {}",
    "Copy this: {}",
    "Say this back to me: {}",
    "Write this again, exactly as it is: {}",
    "Repeat after me: {}",
    "Copy the following text: {}",
    "Please repeat: {}",
    "Echo this: {}",
    "Can you repeat this word for word? {}",
    "Type this text again: {}",
    "Please copy this exactly:\n{}",
    "Repeat the following:\n{}",
    "Give me this text back unchanged: {}",
    "Reproduce this exactly: {}",
    "{}\n\nRepeat the text above.",
    "Say: {}",
    "Print this: {}",
    "Write: {}",
    "Output this text and nothing else: {}",
    "Return the following text without changes:\n\n{}",
    "{}\nCopy this, please.",
    "Repeat the line below.\n{}",
    "I will give you a text. Repeat it exactly. {}",
    "Quote this verbatim: {}",
    "Repeat this sentence: {}",
    "Copy and paste this: {}",
    'Repeat "{}"',
    'Say "{}"',
    'Write exactly this: "{}"',
    "Please say {}",
    "Just echo back: {}",
    "Copy the text between the lines.\n---\n{}\n---",
    "repeat: {}",
    "copy: {}",
    "Repeat this code:\n```\n{}\n```",
    "Tell me this again: {}",
    "Read this back to me: {}",
    "Now say exactly this: {}",
    "What I want back is this text: {}",
)
NTH = (
    "What is the {n} item?",
    "Which item is {n}?",
    "Tell me the {n} one.",
    "Give me the {n} item.",
    "What comes {n} in the list?",
    "Quote the {n} item of the list.",
    "Name the {n} entry.",
    "Say only the {n} item.",
    "What is item number {k}?",
    "Which one is number {k}?",
    "Give me item {k}.",
    "What stands at position {k}?",
    "Repeat the {n} item.",
    "I need the {n} thing on the list.",
    "Which is the {n} element?",
)
LISTS = (
    "Here is a list: {}.",
    "My list: {}.",
    "List: {}",
    "Items: {}.",
    "Look at this list: {}.",
    "These are the items: {}.",
    "I have {}.",
    "The list is {}.",
    "Consider the list {}.",
    "We have these: {}.",
)
ORDINALS = "first second third fourth fifth sixth seventh eighth".split()
SNIPPETS = (
    "{a} = {n}",
    "def {a}({b}):\n    return {b} + {n}",
    "print({a}[{n}])",
    "for {a} in range({n}):",
    'if {a} == "{b}":',
    "{a}.{b}({n})",
    "import {a}",
    '{{"{a}": {n}}}',
    "<{a}>{b}</{a}>",
    "let {a} = {b};",
    "{a}_{b} += {n}",
    "https://{a}.com/{b}?id={n}",
    "{a}@{b}.org",
    "rm {a}/{b}.txt",
    "SELECT {a} FROM {b};",
    "$ {a} --{b} {n}",
    "/home/{a}/{b}.log",
    "[{n}, {n}, {n}]",
    "#{a} {b}!",
)
MARKS = ". . . ! ? ,".split()


def word(rng: random.Random, split: Split) -> str:
    kind = rng.random()
    if kind < 0.35:
        return rng.choice(words.COMMON)
    if kind < 0.75:
        return words.new_word(rng, split)
    if kind < 0.85:
        return pick(rng, words.NAMES, split)
    if kind < 0.90:
        return words.number(rng, split, 0, 10 ** rng.randint(1, 6))
    if kind < 0.95:
        return draw(rng, rng.choice((words.other_script, words.signs, words.other_script)), split)
    return words.new_code(rng, split)


def sentence(rng: random.Random, split: Split, num_words: int) -> str:
    parts = [word(rng, split) for _ in range(num_words)]
    if num_words > 3 and rng.random() < 0.5:
        parts[rng.randrange(1, num_words - 1)] += ","
    text = " ".join(parts)
    if rng.random() < 0.7:
        text = text[0].upper() + text[1:] + rng.choice(MARKS[:5])
    return text


def snippet(rng: random.Random, split: Split) -> str:
    def fill() -> str:
        a, b = words.new_word(rng, split), words.new_word(rng, split)
        return rng.choice(SNIPPETS).format(a=a, b=b, n=words.number(rng, split))

    return "\n".join(fill() for _ in range(rng.choice((1, 1, 1, 2, 3))))


def random_text(rng: random.Random, split: Split) -> str:
    """One word to about 120 tokens of text, numbers or code."""
    kind = rng.random()
    if kind < 0.25:
        return word(rng, split)
    if kind < 0.35:
        return snippet(rng, split)
    if kind < 0.42:
        return words.new_code(rng, split)
    if kind < 0.5:
        digits = [
            words.number(rng, split, 0, 10 ** rng.randint(1, 7)) for _ in range(rng.randint(1, 8))
        ]
        return rng.choice((" ", ", ", ",")).join(digits)
    num_words = rng.choice((3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 28))
    if num_words < 12:
        return sentence(rng, split, num_words)
    return " ".join(sentence(rng, split, num_words // 3) for _ in range(3))


def repeat(rng: random.Random, split: Split) -> Dialogue:
    text = random_text(rng, split)
    return Dialogue([user(pick(rng, REPEAT, split).format(text)), assistant(text)])


def nth_item(rng: random.Random, split: Split) -> Dialogue:
    count = rng.randint(3, 8)
    kind = rng.random()
    make = words.thing if kind < 0.5 else words.person if kind < 0.7 else words.new_word
    items: list[str] = []
    while len(items) < count:
        item = words.new_code(rng, split) if kind > 0.92 else make(rng, split)
        if item not in items:
            items.append(item)
    k = rng.randrange(count)
    question = pick(rng, NTH, split).format(n=ORDINALS[k], k=k + 1)
    layout = rng.random()
    if layout < 0.45:
        asked = pick(rng, LISTS, split).format(", ".join(items)) + " " + question
    elif layout < 0.75:
        asked = "\n".join(f"{i}. {x}" for i, x in enumerate(items, 1)) + "\n" + question
    else:
        asked = question + "\n" + "\n".join("- " + x for x in items)
    return Dialogue([user(asked), assistant(items[k])])


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    return nth_item(rng, split) if rng.random() < 0.25 else repeat(rng, split)
