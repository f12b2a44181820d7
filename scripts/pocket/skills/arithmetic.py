"""Arithmetic: + and - to two digits, x to 12 x 12, with and without thinking.

Sums and differences are split by a hash of "a+b" and "a-b": a held-out pair is never trained.
Products are facts that no one can infer from others, so only their phrasings are split.
"""

import random

from scripts.pocket.dialogue import Dialogue, Message, Split, assistant, is_held_out, pick, user

ASK = (
    "What is {q}?",
    "{q}",
    "{q} =",
    "Calculate {q}.",
    "How much is {q}?",
    "Compute {q}",
    "{q}?",
    "Solve {q}.",
    "Can you work out {q}?",
    "Tell me {q}.",
    "What does {q} equal?",
    "Please compute {q}.",
    "What's {q}?",
    "How much does {q} make?",
    "Give me the result of {q}.",
    "Work out {q} for me.",
    "what is {q}",
    "{q} = ?",
    "I need to know {q}.",
    "Evaluate {q}.",
    "Do the maths: {q}",
    "Find {q}.",
    "Quick question: {q}?",
    "calculate {q}",
    "Could you tell me what {q} is?",
)
SIGNS = {"+": ("+", "+", "+", "plus"), "-": ("-", "-", "-", "minus"), "*": ("*", "x", "×", "times")}
STORIES = {
    "+": (
        "I have {a} {x} and get {b} more. How many do I have?",
        "{n} has {a} {x} and buys {b} more. How many {x} are there?",
        "There are {a} {x} in one box and {b} in another. How many in all?",
        "A shop sold {a} {x} in the morning and {b} in the evening. How many in total?",
        "{n} finds {a} {x}, then {b} more. How many is that together?",
    ),
    "-": (
        "I have {a} {x} and give away {b}. How many are left?",
        "{n} had {a} {x} and lost {b}. How many remain?",
        "There were {a} {x}; {b} were sold. How many are left?",
        "A box holds {a} {x}. We take out {b}. How many stay in it?",
        "{n} owns {a} {x} and sells {b}. How many does {n} still have?",
    ),
    "*": (
        "There are {a} boxes with {b} {x} each. How many {x} is that?",
        "{n} buys {a} bags of {b} {x}. How many {x} are there?",
        "Each of {a} children has {b} {x}. How many {x} in all?",
        "{a} shelves hold {b} {x} each. How many {x} in total?",
        "A farm has {a} rows of {b} {x}. How many {x} are there?",
    ),
}
PLURALS = "apples books coins stamps cards marbles pens eggs flowers stones balls tickets".split()
PEOPLE = "Anna Ben Carla David Elena Felix Greta Ivan Julia Karl Tom Maria".split()


def draw_problem(rng: random.Random, split: Split) -> tuple[int, str, int]:
    sign = rng.choice("++--*")
    while True:
        if sign == "*":
            return rng.randint(0, 12), sign, rng.randint(0, 12)
        high = 99 if rng.random() < 0.85 else 20
        a, b = rng.randint(0, high), rng.randint(0, high)
        if sign == "-" and b > a and rng.random() < 0.8:
            a, b = b, a
        if is_held_out(f"{a}{sign}{b}") == (split == "held_out"):
            return a, sign, b


def result(a: int, sign: str, b: int) -> int:
    return a + b if sign == "+" else a - b if sign == "-" else a * b


def thought(a: int, sign: str, b: int) -> str:
    """Steps over tens and ones, short enough for a small network."""
    total = result(a, sign, b)
    if sign == "*" or a < 10 or b < 10 or total < 0:
        return f"{a} {sign} {b} = {total}"
    tens, ones = b // 10 * 10, b % 10
    middle = result(a, sign, tens)
    return f"{a} {sign} {tens} = {middle}\n{middle} {sign} {ones} = {total}"


def question(rng: random.Random, split: Split, a: int, sign: str, b: int) -> str:
    if rng.random() < 0.15 and result(a, sign, b) >= 0:
        story = pick(rng, STORIES[sign], split)
        return story.format(a=a, b=b, x=rng.choice(PLURALS), n=rng.choice(PEOPLE))
    mark = rng.choice(SIGNS[sign])
    tight = mark in "+-*x×" and rng.random() < 0.35
    return pick(rng, ASK, split).format(q=f"{a}{mark}{b}" if tight else f"{a} {mark} {b}")


def turn(rng: random.Random, split: Split) -> tuple[list[Message], str]:
    """One question with its answer, and the thought that leads there."""
    a, sign, b = draw_problem(rng, split)
    messages = [user(question(rng, split, a, sign, b)), assistant(str(result(a, sign, b)))]
    return messages, thought(a, sign, b)


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    """One to five questions; the last may be thought about."""
    messages: list[Message] = []
    for _ in range(rng.choice((0, 0, 0, 1, 2, 3, 4))):
        messages += turn(rng, split)[0]
    last, steps = turn(rng, split)
    messages += last
    if rng.random() < 0.3:
        return Dialogue(messages, thinking=True, thought=steps)
    return Dialogue(messages)
