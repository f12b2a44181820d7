"""Small changes that leave a question's meaning alone: synonyms, dropped little words, slips.

A change never turns a training phrasing into a held-out one: such a change is undone.
"""

import random
import re
from collections.abc import Collection

SYNONYMS = (
    ("delete", "remove", "erase", "drop"),
    ("download", "fetch", "get"),
    ("show", "see", "display", "view"),
    ("model", "LLM"),
    ("models", "LLMs"),
    ("answer", "reply", "response", "output"),
    ("answers", "replies", "responses"),
    ("start", "launch", "open", "run"),
    ("key", "shortcut", "hotkey", "button"),
    ("change", "set", "adjust", "alter", "modify"),
    ("use", "take", "apply", "try"),
    ("folder", "directory", "place"),
    ("memory", "RAM"),
    ("computer", "machine", "laptop", "PC", "system"),
    ("error", "problem", "message", "failure"),
    ("faster", "quicker"),
    ("choose", "select", "pick"),
    ("fine-tune", "finetune", "train", "tune"),
    ("conversation", "chat", "dialogue"),
    ("file", "document"),
    ("server", "daemon", "service"),
    ("option", "flag", "switch", "parameter", "setting"),
    ("command", "instruction"),
    ("need", "require"),
    ("stored", "kept", "saved"),
    ("quit", "exit", "leave", "close"),
    ("stop", "end", "halt", "cancel"),
    ("LocalLLM", "localllm", "this program", "the app", "this tool"),
    ("limit", "restrict", "cap"),
    ("big", "large"),
    ("internet", "web"),
    ("program", "app", "application", "tool"),
)
GROUPS = {word: group for group in SYNONYMS for word in group}
LITTLE = {"the", "a", "an", "my", "do", "is", "are", "of", "it", "this", "to"}
GREETINGS = ("Hi, ", "Hello! ", "Hey, ", "Please, ", "Um, ", "One question: ", "Quick one: ")
THANKS = (" Thanks!", " Thank you.", " please", " Please help.", " Any idea?")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def normal(text: str) -> str:
    """The words of a phrasing, in small letters, without marks."""
    return " ".join(re.findall(r"[\w~./:'-]+", text.lower()))


def with_synonym(rng: random.Random, text: str) -> str:
    parts = text.split(" ")
    places = [i for i, part in enumerate(parts) if part in GROUPS]
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


def vary(rng: random.Random, text: str, forbidden: Collection[str]) -> str:
    """`text` with none, one or two changes, unless that makes a phrasing of `forbidden`."""
    changed = text
    if rng.random() < 0.45:
        changed = with_synonym(rng, changed)
    if rng.random() < 0.2:
        changed = without_little_word(rng, changed)
    if rng.random() < 0.1:
        changed = with_slip(rng, changed)
    return text if normal(changed) in forbidden else changed


def dress(rng: random.Random, text: str) -> str:
    """A greeting before or thanks after, now and then."""
    if rng.random() < 0.08:
        text = rng.choice(GREETINGS) + text
    return text + rng.choice(THANKS) if rng.random() < 0.05 else text
