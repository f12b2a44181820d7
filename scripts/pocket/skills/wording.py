"""What people do to a question without changing its meaning: synonyms, slips, haste, courtesy."""

import random
import re

from scripts.pocket.phrasing import Phrasings

SYNONYMS = (
    ("delete", "remove", "erase"),
    ("download", "fetch", "get"),
    ("show", "see", "display", "view"),
    ("model", "LLM"),
    ("models", "LLMs"),
    ("answer", "reply", "response"),
    ("answers", "replies", "responses"),
    ("key", "shortcut", "hotkey", "button"),
    ("change", "set", "adjust", "alter", "modify"),
    ("use", "apply", "try"),
    ("folder", "directory"),
    ("computer", "machine", "laptop", "PC"),
    ("faster", "quicker"),
    ("choose", "select", "pick"),
    ("fine-tune", "finetune", "train", "tune"),
    ("conversation", "chat", "dialogue"),
    ("server", "daemon", "service"),
    ("option", "flag", "switch", "parameter", "setting"),
    ("need", "require"),
    ("stored", "kept", "saved"),
    ("quit", "exit", "leave", "close"),
    ("limit", "restrict", "cap"),
    ("big", "large"),
    ("LocalLLM", "localllm", "this program", "the app", "this tool"),
)
GROUPS = {word: group for group in SYNONYMS for word in group}
LITTLE = {"the", "a", "an", "my", "do", "is", "are", "of", "it", "this", "to"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
HASTE = (
    (re.compile(r"\b(what|where|how|that|it|there|who)'s\b", re.I), r"\1s"),
    (re.compile(r"\b(do|does|is|are|ca|wo|did|was|should|could)n't\b", re.I), r"\1nt"),
    (re.compile(r"\bI'm\b", re.I), "im"),
    (re.compile(r"\bI've\b", re.I), "ive"),
    (re.compile(r"\b(please)\b", re.I), "pls"),
    (re.compile(r"\byou\b", re.I), "u"),
    (re.compile(r"\bwant to\b", re.I), "wanna"),
    (re.compile(r"\bgoing to\b", re.I), "gonna"),
    (re.compile(r"\bbecause\b", re.I), "cuz"),
)
ALONE_I = re.compile(r"\bi\b(?=[ ']|$)")
ASKING = frozenset(
    """how what which where when who why whose whats wheres hows is are am was were can could would
    should shall will do does did has have may must any what's where's how's who's""".split()
)
BEFORE = Phrasings(
    (
        "<hi|hello|hey|hey there|hi there|good morning|good evening|hello pocket|hi pocket|yo|ok|okay|so|um|well|sorry|excuse me|thanks, and>",
        "<quick|one|short|small|stupid|simple|beginner|newbie|another|a> question<| please| for you>",
        "<please|pls|help|help me|help please|i need help|can you help me|could you help me|i have a question|tell me|please tell me|i wonder|i was wondering|just curious|out of curiosity|one more thing|next question>",
        "<sorry|excuse me|pardon>, <quick question|one thing|dumb question|maybe you know>",
        "<sorry to bother you|sorry if this is obvious|maybe a silly question|forgive the question|this may be a stupid question|not sure if you know>",
    )
)
CONTEXT = Phrasings(
    (
        "i am <new|quite new|completely new|not very technical|a beginner|a student|a developer|in a hurry|stuck|confused|lost><| here| today>.",
        "i <just|only just|recently|finally> <installed|set up|cloned|started with|got|discovered> <this|it|localllm|this program|the app><| on my mac| on my macbook| on linux| on ubuntu| on my laptop| at work| today| yesterday>.",
        "<i'm on|i use|i have|working on> <a mac|a macbook air|a macbook pro m2|an m1 mac|linux|ubuntu|debian|fedora|a small laptop|an old pc>.",
        "i <looked|searched|checked> <in the docs|in the readme|everywhere|online|a while> <but|and> <could not find it|found nothing|am still lost|did not understand it>.",
        "<my friend|my boss|a colleague|my teacher|my brother|somebody> <asked me this|wants to know this|needs this|told me to ask you>.",
        "<i have been trying|i tried> <for an hour|all day|many things|everything|for a while> <already|now|>.",
        "<i come from|i used|i'm used to|until now i used> <ollama|lm studio|chatgpt|llama.cpp|gpt4all|jan>.",
        "<it is my first day with this|i never did this before|i forgot how it works|i always forget this|i can't remember this>.",
    )
)
AFTER = Phrasings(
    (
        "<thanks|thank you|thx|ty|cheers|thanks in advance|thanks a lot|many thanks><!||.>",
        "<please|pls|please help|help please|any idea|any ideas|any hint|anyone|can you help|is that possible|do you know><?|!|>",
        "<i can't find it|i don't know|i have no idea|i am new to this|i forgot|i'm stuck|it's urgent><.|!|>",
    )
)


def normal(text: str) -> str:
    """The words of a phrasing, in small letters, without marks."""
    return " ".join(re.findall(r"[\w~./:'-]*\w", text.lower()))


def with_synonym(rng: random.Random, text: str) -> str:
    """Words after a command's name stay."""
    parts = text.split(" ")
    places = [
        i
        for i, part in enumerate(parts)
        if part in GROUPS and (i == 0 or parts[i - 1] not in ("localllm", "ollama", "system"))
    ]
    if places:
        i = rng.choice(places)
        parts[i] = rng.choice(GROUPS[parts[i]])
    return " ".join(parts)


def without_little_word(rng: random.Random, text: str) -> str:
    parts = text.split(" ")
    places = [i for i, part in enumerate(parts) if part in LITTLE]
    if places and len(parts) > 3:
        del parts[rng.choice(places)]
    return " ".join(parts)


def with_slip(rng: random.Random, text: str) -> str:
    """One letter doubled, lost, swapped or wrong in a plain word of five letters or more."""
    parts = text.split(" ")
    places = [i for i, part in enumerate(parts) if len(part) > 4 and part.isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    word, at = parts[i], rng.randrange(1, len(parts[i]) - 1)
    parts[i] = rng.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word[:at] + rng.choice(LETTERS) + word[at + 1 :],
        )
    )
    return " ".join(parts)


def in_haste(text: str) -> str:
    """Without apostrophes, with the abbreviations of messages."""
    for pattern, short in HASTE:
        text = pattern.sub(short, text)
    return text


def vary(rng: random.Random, text: str) -> str:
    """`text` with none, one or two of its words changed or dropped."""
    if rng.random() < 0.35:
        text = with_synonym(rng, text)
    if rng.random() < 0.15:
        text = without_little_word(rng, text)
    return text


def as_sentence(text: str) -> str:
    """With a capital and a mark at the end."""
    text = ALONE_I.sub("I", text)
    text = text[:1].upper() + text[1:]
    if text[-1:] in "?.!:)":
        return text
    return text + ("?" if text.split(" ", 1)[0].lower() in ASKING else ".")


def as_typed(rng: random.Random, text: str, slips: float = 0.12) -> str:
    """A sentence, or what a hurried person types; `slips` is the chance of a misspelt word."""
    if rng.random() < slips:
        text = with_slip(rng, text)
        if rng.random() < 0.25:
            text = with_slip(rng, text)
    chance = rng.random()
    if chance < 0.5:
        return as_sentence(text)
    if chance < 0.7:
        return text.rstrip("?.!")
    if chance < 0.9:
        return text.lower().rstrip("?.!")
    if chance < 0.97:
        return in_haste(text.lower())
    return text.upper() if chance < 0.98 else as_sentence(text) + rng.choice("?!")


def joined(rng: random.Random, first: str, second: str) -> str:
    """Two sentences of one message, with a mark that fits the case of the second."""
    first = first.rstrip(".,")
    if second[:1].isupper() and rng.random() < 0.8:
        return as_sentence(first).rstrip("?.") + rng.choice((". ", "! ", ", ")) + second
    return first + rng.choice((", ", ": ", " ", ". ")) + second


def dress(rng: random.Random, text: str) -> str:
    """A greeting or the asker's situation before, thanks after, now and then."""
    chance = rng.random()
    if chance < 0.12:
        text = joined(rng, BEFORE.draw(rng), text)
    elif chance < 0.2:
        text = joined(rng, CONTEXT.draw(rng), text)
    if rng.random() < 0.08:
        text += rng.choice((" ", ", ")) if text[-1:] not in "?.!" else " "
        text += AFTER.draw(rng)
    return text
