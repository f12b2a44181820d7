"""Arithmetic: + and - to two digits, x to 12 x 12, with and without thinking.

Sums and differences are split by a hash of "a+b" and "a-b": a held-out pair is never trained.
Products are facts that no one can infer from others, so only their phrasings are split.
"""

import random
import zlib

from scripts.pocket.dialogue import Dialogue, Message, Split, assistant, pick, user
from scripts.pocket.skeletons import fill, phrase

ASK = (
    "<What is|what's|How much is> {q}?",
    "{q}",
    "{q}< |>=<|?| ?>",
    "<Calculate|Compute|Evaluate|Solve> {q}<.|>",
    "<Can|Could> you <work out|calculate|compute|tell me> {q}?",
    "{q}?",
    "<Please |>tell me {q}.",
    "What <does|do> {q} <equal|make|give|come to>?",
    "<Please |>compute {q}.",
    "How much <does|do|would> {q} <make|be|come to>?",
    "<Give|Tell> me the <result|answer|value> of {q}.",
    "<Work out|Figure out|Find|Determine> {q}< for me|>.",
    "I need <to know |the result of |>{q}.",
    "Do the <maths|math|sum>: {q}",
    "<Quick question|A sum|Math|Next|Task>: {q}<?|>",
    "<Could|Can|Would> you tell me what {q} is?",
    "What is the <result|answer|value|solution> of {q}?",
    "<Do you know|Tell me> what {q} is<?|>",
    "If I <compute|take|have> {q}, what do I get?",
    "<So |And |Now |>{q} is<| what>?",
    "{q}, <what is that|how much is that|what's the answer>?",
    "What do <I|you|we> get <for|from|with> {q}?",
    "The <answer|result> of {q}<, please|?>",
    "Answer <this|with a number|with the number only>: {q}",
    "Let me check: {q} =",
)
COMMANDS = {
    "+": (
        "<Add|Sum> {a} and {b}.",
        "What is the sum of {a} and {b}?",
        "Add {b} to {a}.",
        "What do you get if you add {a} and {b}?",
        "{a} and {b} <together|in total> <make|are> how <much|many>?",
        "What is {b} more than {a}?",
    ),
    "-": (
        "<Subtract|Take> {b} from {a}.",
        "What is the difference of {a} and {b}?",
        "What is {a} less {b}?",
        "What is left of {a} if <you|I> take away {b}?",
        "Take {b} away from {a}.",
        "What is {b} less than {a}?",
    ),
    "*": (
        "Multiply {a} <by|with> {b}.",
        "What is the product of {a} and {b}?",
        "What is {a} multiplied by {b}?",
        "How much is {b} taken {a} times?",
        "What do you get if you multiply {a} and {b}?",
        "{a} groups of {b} are how many?",
    ),
}
SIGNS = {
    "+": ("+", "+", "+", "plus"),
    "-": ("-", "-", "-", "minus", "\u2212"),
    "*": ("*", "x", "×", "times", "multiplied by"),
}
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
SMALL = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
fifteen sixteen seventeen eighteen nineteen""".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
PLURALS = "apples books coins stamps cards marbles pens eggs flowers stones balls tickets".split()
PEOPLE = "Anna Ben Carla David Elena Felix Greta Ivan Julia Karl Tom Maria".split()


def draw_problem(rng: random.Random, split: Split) -> tuple[int, str, int]:
    sign = rng.choice("++--*")
    while True:
        if sign == "*":
            return rng.randint(0, 12), sign, rng.randint(0, 12)
        high = 99 if rng.random() < 0.9 else 20
        a, b = rng.randint(0, high), rng.randint(0, high)
        if sign == "-" and b > a and rng.random() < 0.4:
            a, b = b, a
        if is_kept_apart(a, sign, b) == (split == "held_out"):
            return a, sign, b


def is_kept_apart(a: int, sign: str, b: int) -> bool:
    """One pair in twenty is never trained: enough to measure, few enough to learn the carries."""
    return zlib.crc32(f"{a}{sign}{b}".encode()) % 20 == 0


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


def number_words(n: int) -> str:
    """English for 0 to 99."""
    if n < len(SMALL):
        return SMALL[n]
    tens = TENS[n // 10 - 2]
    return tens if n % 10 == 0 else f"{tens}-{SMALL[n % 10]}"


def question(rng: random.Random, split: Split, a: int, sign: str, b: int) -> str:
    kind = rng.random()
    if kind < 0.1 and result(a, sign, b) >= 0:
        story = pick(rng, STORIES[sign], split)
        return story.format(a=a, b=b, x=rng.choice(PLURALS), n=rng.choice(PEOPLE))
    is_words = rng.random() < 0.12
    left, right = (number_words(n) if is_words else str(n) for n in (a, b))
    if kind < 0.2:
        return fill(phrase(rng, COMMANDS[sign], split), {"a": left, "b": right})
    mark = rng.choice(SIGNS[sign])
    if is_words:
        mark = SIGNS[sign][3]
    tight = not is_words and mark in "+-*x×\u2212" and rng.random() < 0.35
    problem = f"{left}{mark}{right}" if tight else f"{left} {mark} {right}"
    return fill(phrase(rng, ASK, split), {"q": problem})


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
