"""Memory: facts told earlier in the conversation are asked for up to six turns later."""

import random
from dataclasses import dataclass
from functools import cache

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Message, Skill, Split, assistant, pick, user
from scripts.pocket.skeletons import expand, fill, loosen
from scripts.pocket.skills import arithmetic, copying, talk
from scripts.pocket.skills.memory_facts import SORTS, TOPICS
from scripts.pocket.skills.memory_wordings import Topic, possession
from scripts.pocket.skills.values import make_values

ANY_NOUN_SHARE = 0.12
UNKNOWN = "I do not know, you have not told me that yet."
CHANGES = (
    "<Actually|Wait|Sorry|Correction|No>, {told}",
    "<I changed my mind|Something changed>: {told}",
    "<That was wrong|I was wrong|My mistake>. {told}",
    "Forget that. {told}",
    "From now on: {told}",
    "<Update|News>: {told}",
)
CHANGED = ("Okay, I will use that from now on.", "Noted, I changed it.", "Got it, now it is {}.")


def make_value(kind: str, rng: random.Random, split: Split) -> str:
    if kind in ("name", "pet_name"):
        return words.person(rng, split)
    if kind == "city":
        return words.city(rng, split)
    if kind == "age":
        return str(rng.randint(5, 99))
    if kind == "number":
        return words.number(rng, split, 0, 10 ** rng.randint(2, 5))
    if kind == "code":
        return words.new_word(rng, split) if rng.random() < 0.4 else words.new_code(rng, split)
    return make_values(SORTS.get(kind, "word"))(rng, split).said


def told(rng: random.Random, split: Split, kind: str) -> str:
    """A sentence that tells a fact of the kind, with `{}` for the value."""
    return expand(rng, pick(rng, topic_of(kind).tell, split))


def asked(rng: random.Random, split: Split, kind: str) -> str:
    return loosen(rng, expand(rng, pick(rng, topic_of(kind).ask, split)))


@cache
def topic_of(kind: str) -> Topic:
    """A kind that is not in the list is any noun."""
    return TOPICS.get(kind) or possession(kind)


def small_turn(rng: random.Random, split: Split) -> list[Message]:
    """A turn of another kind between telling and asking."""
    make: Skill = rng.choice(
        (talk.make_dialogue, arithmetic.make_dialogue, talk.make_dialogue, copying.make_dialogue)
    )
    for _ in range(20):
        dialogue = make(rng, split)
        length = sum(len(m["content"]) for m in dialogue.messages)
        if length < 250 and not dialogue.thinking and dialogue.messages[0]["role"] == "user":
            return dialogue.messages
    return [user("Hello!"), assistant("Hello! How can I help you?")]


def draw_kinds(rng: random.Random, split: Split, count: int) -> list[str]:
    """Kinds of facts; the common ones often, any noun now and then."""
    kinds: list[str] = []
    while len(kinds) < count:
        if rng.random() < ANY_NOUN_SHARE:
            kind = f"{rng.choice(words.COMMON)} {words.thing(rng, split)}"
        else:
            kind = rng.choice(COMMON_KINDS) if rng.random() < 0.35 else rng.choice(list(TOPICS))
        if not any(kind.split()[-1] == known.split()[-1] for known in kinds):
            kinds.append(kind)
    return kinds


COMMON_KINDS = ("name", "name", "city", "job", "age", "number", "code", "pet_name", "color", "food")


@dataclass
class Memory:
    """What was told so far, and the words for it."""

    animal: str
    facts: dict[str, str]

    def fill(self, text: str, kind: str) -> str:
        value = self.facts.get(kind, "")
        return fill(text.replace("{}", "{value}"), {"animal": self.animal, "value": value})


def joined(sentences: list[str]) -> str:
    """Sentences of one message, each but the last with a mark at its end."""
    ended = [s if s.endswith((".", "!", "?")) else s + "." for s in sentences[:-1]]
    return " ".join([*ended, sentences[-1]])


def telling(rng: random.Random, split: Split, memory: Memory) -> list[Message]:
    """The facts, one or two a message, sometimes with other talk between."""
    messages: list[Message] = []
    untold = list(memory.facts)
    while untold:
        batch = [untold.pop() for _ in range(min(len(untold), rng.choice((1, 1, 1, 2, 3))))]
        said = joined([memory.fill(told(rng, split, kind), kind) for kind in batch])
        reply = memory.fill(rng.choice(topic_of(batch[0]).acknowledge), batch[0])
        messages += [user(said), assistant(reply)]
        if rng.random() < 0.15:
            messages += small_turn(rng, split)
    return messages


def changing(rng: random.Random, split: Split, memory: Memory) -> list[Message]:
    """One of the facts is told anew."""
    kind = rng.choice(list(memory.facts))
    memory.facts[kind] = make_value(kind, rng, split)
    form = expand(rng, pick(rng, CHANGES, split))
    said = memory.fill(form.replace("{told}", told(rng, split, kind)), kind)
    return [user(said), assistant(memory.fill(rng.choice(CHANGED), kind))]


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    """One to five facts, up to five turns between, then one to three questions."""
    kinds = draw_kinds(rng, split, rng.choice((1, 1, 2, 2, 3, 4, 5)))
    facts = {kind: make_value(kind, rng, split) for kind in kinds}
    memory = Memory(words.one_of(rng, words.ANIMALS, split), facts)
    messages = telling(rng, split, memory)
    if rng.random() < 0.14:
        messages += changing(rng, split, memory)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3, 4, 5))):
        messages += small_turn(rng, split)
    questions = rng.sample(kinds, min(len(kinds), rng.choice((1, 1, 2, 3))))
    for kind in questions:
        question = memory.fill(asked(rng, split, kind), kind)
        messages += [user(question), assistant(memory.fill(topic_of(kind).answer, kind))]
    must = (facts[questions[-1]],)
    if rng.random() < 0.13:
        missing = next(
            kind
            for kind in iter(lambda: rng.choice(list(TOPICS)), "")
            if all(kind.split()[-1] != known.split()[-1] for known in kinds)
        )
        if rng.random() < 0.3:
            messages = small_turn(rng, split)
        messages += [user(memory.fill(asked(rng, split, missing), missing)), assistant(UNKNOWN)]
        must = ("not told me",)
    return Dialogue(messages, check="contains", must=must)
