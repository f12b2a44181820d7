"""Copying: repeat a text exactly, or quote what stands at a place of a list or a sentence.

Every fifth phrasing is held out (`share`), and so are the made-up words, names and numbers of
one hash in five (`is_held_out`).
"""

import json
import random

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Message, Split, assistant, user
from scripts.pocket.skeletons import fill, phrase, say
from scripts.pocket.skills import copy_texts
from scripts.pocket.skills.copy_phrasings import (
    AFTER,
    AGAIN,
    BEFORE,
    ECHO_SYSTEMS,
    LAST_MESSAGE,
    LISTS,
    NTH,
    NTH_WORD,
    QUOTED,
    REPEAT,
)

ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
FROM_END = ("last", "second to last", "third to last")
SHORT_ORDINALS = "1st 2nd 3rd 4th 5th 6th 7th 8th 9th 10th".split()
QUOTES = ('"', '"', '"', "'", "`", "“”", "«»")


def request(rng: random.Random, split: Split, text: str) -> str:
    if rng.random() < 0.2 and not set(text) & set("\"'`“”«»\n"):
        marks = rng.choice(QUOTES)
        return say(rng, QUOTED, split, {"text": marks[0] + text + marks[-1]})
    return say(rng, REPEAT, split, {"text": text})


def echoed(rng: random.Random, split: Split) -> Dialogue:
    """The system prompt asks for an echo, so every message comes back."""
    messages: list[Message] = [{"role": "system", "content": phrase(rng, ECHO_SYSTEMS, split)}]
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = copy_texts.random_text(rng, split)
        messages += [user(text), assistant(text)]
    return Dialogue(messages)


def repeat(rng: random.Random, split: Split) -> Dialogue:
    text = copy_texts.random_text(rng, split)
    messages = [user(request(rng, split, text)), assistant(text)]
    kind = rng.random()
    if kind < 0.05:
        messages += [user(phrase(rng, AGAIN, split)), assistant(text)]
    elif kind < 0.15:
        other = copy_texts.random_text(rng, split)
        messages += [user(request(rng, split, other)), assistant(other)]
    return Dialogue(messages)


def last_message(rng: random.Random, split: Split) -> Dialogue:
    text = copy_texts.sentence(rng, split)
    messages = [user(text), assistant(rng.choice(("Okay.", "I see.", "Noted.", "Thank you.")))]
    return Dialogue([*messages, user(phrase(rng, LAST_MESSAGE, split)), assistant(text)])


def draw_items(rng: random.Random, split: Split) -> list[str]:
    """Three to ten different items of one sort, sometimes of mixed sorts."""
    sorts: tuple[copy_texts.Make, ...] = (
        words.thing,
        words.thing,
        words.person,
        words.city,
        words.new_word,
        words.new_code,
        words.number,
        two_words,
        copy_texts.clause,
        lambda r, s: words.one_of(r, words.FOODS, s),
        lambda r, s: words.one_of(r, words.ANIMALS, s),
        lambda r, s: words.one_of(r, words.COLORS, s),
        lambda r, s: copy_texts.code_line(r, s).strip(),
    )
    chosen = rng.choices(sorts, (8, 8, 6, 5, 9, 4, 5, 6, 2, 4, 4, 4, 1))[0]
    count = rng.choice((2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10))
    items: list[str] = []
    while len(items) < count:
        item = (rng.choice(sorts[:9]) if rng.random() < 0.03 else chosen)(rng, split)
        if item not in items and ", " not in item:
            items.append(item)
    return items


def two_words(rng: random.Random, split: Split) -> str:
    return f"{words.one_of(rng, words.COLORS, split)} {words.thing(rng, split)}"


def written_list(rng: random.Random, items: list[str]) -> tuple[str, bool]:
    """The list in one of many layouts, and whether it stands on lines of its own."""
    layout = rng.random()
    if layout < 0.30:
        return ", ".join(items), False
    if layout < 0.42:
        return words.join_and(items), False
    if layout < 0.50:
        return rng.choice(("; ", " | ", " / ", " - ")).join(items), False
    if layout < 0.54:
        return json.dumps(items, ensure_ascii=False), False
    mark = rng.choice(("- ", "- ", "* ", "• ", "", "{i}. ", "{i}. ", "{i}) ", "{i}: ", "#{i} "))
    lines = (mark.replace("{i}", str(i)) + item for i, item in enumerate(items, 1))
    return "\n".join(lines), True


def place_words(rng: random.Random, k: int, count: int) -> dict[str, str]:
    """How place `k` of `count`, from 0, is called."""
    names = [ORDINALS[k], ORDINALS[k], SHORT_ORDINALS[k]]
    if count - k <= len(FROM_END) and (k == count - 1 or count > 3):
        names += [FROM_END[count - 1 - k]] * 2
    return {"n": rng.choice(names), "k": str(k + 1)}


def with_list(rng: random.Random, split: Split, items: list[str], question: str) -> str:
    text, is_lines = written_list(rng, items)
    if is_lines:
        head = rng.choice(("", "", "My list:\n", "List:\n", "Items:\n", "Here is a list:\n"))
        told = head + text
        gap = rng.choice(("\n", "\n\n"))
        return told + gap + question if rng.random() < 0.55 else question + gap + told
    told = say(rng, LISTS, split, {"list": text})
    if rng.random() < 0.6:
        return told + rng.choice((" ", " ", "\n")) + question
    return question + rng.choice((" ", "\n")) + told


def nth_item(rng: random.Random, split: Split) -> Dialogue:
    items = draw_items(rng, split)
    messages: list[Message] = []
    for turn in range(rng.choice((1, 1, 1, 2, 3))):
        k = rng.randrange(len(items))
        kind = rng.random()
        if kind < 0.85:
            question = say(rng, NTH, split, place_words(rng, k, len(items)))
        elif kind < 0.93 and k > 0:
            question = say(rng, AFTER, split, {"item": items[k - 1]})
        elif k + 1 < len(items):
            question = say(rng, BEFORE, split, {"item": items[k + 1]})
        else:
            question = say(rng, NTH, split, place_words(rng, k, len(items)))
        asked = with_list(rng, split, items, question) if turn == 0 else question
        messages += [user(asked), assistant(items[k])]
    return Dialogue(messages)


def nth_word(rng: random.Random, split: Split) -> Dialogue:
    count = rng.randint(3, 9)
    parts = [
        rng.choice(words.COMMON) if rng.random() < 0.6 else words.new_word(rng, split)
        for _ in range(count)
    ]
    k = rng.randrange(count)
    marks = rng.choice(("{}", '"{}"', "{}", "'{}'"))
    values = place_words(rng, k, count) | {"text": marks.replace("{}", " ".join(parts))}
    return Dialogue([user(fill(phrase(rng, NTH_WORD, split), values)), assistant(parts[k])])


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    makes = (repeat, nth_item, nth_word, echoed, last_message)
    return rng.choices(makes, (66, 22, 4, 5, 3))[0](rng, split)
