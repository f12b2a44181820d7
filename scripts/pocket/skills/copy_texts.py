"""Texts to be copied: words, sentences, numbers, code, JSON, addresses and signs, of any length."""

import json
import random
import re
import string
from collections.abc import Callable

from scripts.pocket import words
from scripts.pocket.dialogue import Split, draw, pick

Make = Callable[[random.Random, Split], str]

SUBJECTS = """the old man|my sister|a small dog|the teacher|our neighbor|the red car|every student|
the captain|a young queen|the machine|his uncle|the baker|nobody|the river|a tall tree|the company|
the black cat|she|he|we|they|I|the whole team|a stranger|the doctor|the night train|her friend|the
moon|the last guest|an engineer|the king|the little boy|some people|the office|that bird|the singer
""".replace("\n", " ").split("|")
VERBS = """saw|likes|found|wrote about|carried|sold|painted|forgot|opened|bought|lost|needs|watched|
moved|remembered|built|cleaned|broke|followed|heard|wanted|kept|brought|fixed|counted|closed|chose|
dropped|asked for|looked at|talked about|waited for|never saw|always loved|will need|can use""".replace(
    "\n", ""
).split("|")
OBJECTS = """a green door|the long letter|two boxes|an apple|the map|seven stones|her blue coat|the
answer|a cup of tea|the broken clock|some bread|nothing|the window|an old song|the bridge|a new
plan|three keys|the garden|his bicycle|a warm meal|the first page|all the money|a wooden chair|the
question|many birds|the yellow boat|a strange noise|the fastest horse|her phone|the empty bottle
""".replace("\n", " ").split("|")
PLACES = """in the park|at home|near the station|by the lake|on the roof|under the table|at noon|
last night|every morning|in the city|after dinner|before the storm|without a word|in spring|on
Friday|for the third time|behind the house|at the market|with great care|in a hurry|next to the
school|two days ago|as usual|at half past six|in the dark|far away|once again""".replace(
    "\n", " "
).split("|")
LINKS = (", and ", ", but ", "; ", " because ", " while ", ". ", "! ", ". ", " - ", ": ", "? ")
CODE = """{a} = {n}|def {a}({b}):|    return {a} + {n}|print({a}[{n}])|for {a} in range({n}):|
if {a} == "{b}":|{a}.{b}({n})|import {a}|from {a} import {b}|<{a}>{b}</{a}>|let {a} = {b};|
const {a} = [{n}, {m}];|{a}_{b} += {n}|rm -rf {a}/{b}.txt|SELECT {a} FROM {b} WHERE {c} = {n};|
$ {a} --{b} {n}|/home/{a}/{b}.log|#{a} {b}!|while ({a} < {n}) {{ {b}++; }}|return {a} ? {b} : {c};|
{a}::{b}<{c}> {d};|x = {{"{a}": {n}, "{b}": [{m}]}}|echo "{a} {b}" > {c}.txt|git commit -m "{a} {b}"|
fn {a}({b}: i32) -> i32 {{|    {a} *= {n} - {m}|}}|assert {a} != {n}, "{b}"|# {a} {b} {c}|
// {a}: {b}|cd {a} && make {b}|{a}: {b}|    - {a}={n}|lambda {a}: {a} ** {n}|class {a}({b}):|
try:|    pass|else:|except {a}:|SET {a}={n}|export {a}="{b}/{c}"|printf("%d {a}", {n});|
    self.{a} = {b}|#include <{a}.h>|int {a} = {n};|{a}({b}, {c})|[{n}, {m}, {n}]|pip install {a}""".replace(
    "|\n", "|"
).split("|")
ADDRESSES = """https://{a}.com/{b}?id={n}|http://www.{a}.org/{b}/{c}.html|{a}@{b}.org|{a}.{b}@{c}.com|
/usr/{a}/{b}/{c}.conf|C:\\{a}\\{b}.exe|{n}.{m}.1.{n}|{a}.{b}.io:{n}|ftp://{a}.net/{b}_{n}.zip|
~/{a}/{b}-{n}.md|www.{a}.de|https://{a}.io/{b}#{c}|git@{a}.com:{b}/{c}.git|+{n} {m} {n}""".replace(
    "|\n", "|"
).split("|")
MARKS = (".", ".", ".", "!", "?", "", "", "...")
LENGTHS = ((1, 3), (3, 12), (12, 40), (40, 75), (75, 118))
LENGTH_SHARES = (14, 16, 22, 26, 22)
TOKEN = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_|\n")
COMMON = frozenset(words.COMMON)


def num_tokens(text: str) -> float:
    """A guess of the tokens of `text`, made without a tokenizer."""
    total = 0.0
    for part in TOKEN.findall(text):
        if not part.isascii():
            total += 1.5 * len(part)
        elif len(part) > 1 and part.lower() not in COMMON:
            total += max(1.0, len(part) / 2.4)
        else:
            total += 1
    return total


def mixed_case(rng: random.Random, word: str) -> str:
    return "".join(rng.choice((c.lower(), c.upper())) for c in word)


def word(rng: random.Random, split: Split) -> str:
    """A common word, a made-up one, a name, a number, a code, or a few strange letters."""
    kind = rng.random()
    if kind < 0.40:
        return rng.choice(words.COMMON)
    if kind < 0.72:
        return words.new_word(rng, split)
    if kind < 0.82:
        return pick(rng, words.NAMES, split)
    if kind < 0.88:
        return words.number(rng, split, 0, 10 ** rng.randint(1, 6))
    if kind < 0.92:
        return draw(rng, rng.choice((words.other_script, words.signs)), split)
    if kind < 0.95:
        return mixed_case(rng, words.new_word(rng, split))
    return words.new_code(rng, split)


def salad(rng: random.Random, split: Split) -> str:
    """Words without sense, with capitals and marks now and then."""
    parts = [word(rng, split) for _ in range(rng.randint(2, 12))]
    if len(parts) > 3 and rng.random() < 0.4:
        parts[rng.randrange(1, len(parts) - 1)] += rng.choice((",", ";", ":", ","))
    text = " ".join(parts)
    return text[0].upper() + text[1:] + rng.choice(MARKS) if rng.random() < 0.6 else text


def common_words(rng: random.Random, _: Split) -> str:
    return rng.choice((" ", " ", " ", ", ", "-")).join(
        rng.choice(words.COMMON) for _ in range(rng.randint(2, 20))
    )


def made_up_words(rng: random.Random, split: Split) -> str:
    joint = rng.choice((" ", " ", " ", ", ", "_", "-"))
    change = rng.choice((str, str, str, str.upper, str.capitalize))
    return joint.join(change(words.new_word(rng, split)) for _ in range(rng.randint(1, 9)))


def clause(rng: random.Random, split: Split) -> str:
    subject = words.person(rng, split) if rng.random() < 0.3 else rng.choice(SUBJECTS)
    thing = f"the {words.thing(rng, split)}" if rng.random() < 0.3 else rng.choice(OBJECTS)
    place = f" {rng.choice(PLACES)}" if rng.random() < 0.6 else ""
    return f"{subject} {rng.choice(VERBS)} {thing}{place}"


def sentence(rng: random.Random, split: Split) -> str:
    text = clause(rng, split)
    if rng.random() < 0.4:
        text += rng.choice(LINKS) + clause(rng, split)
    return text[0].upper() + text[1:] + rng.choice(MARKS)


def numbers(rng: random.Random, split: Split) -> str:
    size = rng.choice((1, 2, 3, 4, 6, 9))
    drawn = [
        words.number(rng, split, 0, 10 ** rng.randint(1, size)) for _ in range(rng.randint(1, 9))
    ]
    if rng.random() < 0.2:
        drawn = [f"{n}.{rng.randint(0, 99)}" for n in drawn]
    return rng.choice((" ", ", ", ",", "-", " | ", "; ")).join(drawn)


def hexadecimal(rng: random.Random, _: Split) -> str:
    letters = rng.choice(
        ("0123456789abcdef", "0123456789ABCDEF", string.ascii_letters + "0123456789")
    )
    parts = ("".join(rng.choices(letters, k=rng.randint(2, 12))) for _ in range(rng.randint(1, 5)))
    return rng.choice(("", "0x", "", "#")) + rng.choice((" ", "-", ":", "")).join(parts)


def names(rng: random.Random, split: Split) -> str:
    drawn = [
        words.person(rng, split) + (f" {words.new_name(rng, split)}" if rng.random() < 0.4 else "")
        for _ in range(rng.randint(1, 6))
    ]
    return rng.choice((", ", " and ", "; ")).join(drawn)


def filled(rng: random.Random, split: Split, template: str) -> str:
    parts = {
        slot: rng.choice(words.COMMON) if rng.random() < 0.4 else words.new_word(rng, split)
        for slot in "abcd"
    }
    return template.format(n=rng.randint(0, 999), m=rng.randint(0, 99), **parts)


def code_line(rng: random.Random, split: Split) -> str:
    return filled(rng, split, rng.choice(CODE))


def code_lines(rng: random.Random, split: Split) -> str:
    return "\n".join(code_line(rng, split) for _ in range(rng.randint(1, 5)))


def address(rng: random.Random, split: Split) -> str:
    return filled(rng, split, rng.choice(ADDRESSES))


def json_value(rng: random.Random, split: Split, depth: int = 0) -> object:
    kind = rng.random()
    if kind < 0.15 and depth < 2:
        return [json_value(rng, split, depth + 1) for _ in range(rng.randint(0, 3))]
    if kind < 0.25 and depth < 2:
        return {words.new_word(rng, split): json_value(rng, split, depth + 1)}
    return rng.choice((rng.randint(0, 999), word(rng, split), rng.random() < 0.5, None, "x"))


def json_text(rng: random.Random, split: Split) -> str:
    value = {
        rng.choice((rng.choice(words.COMMON), words.new_word(rng, split))): json_value(rng, split)
        for _ in range(rng.randint(1, 4))
    }
    return json.dumps(value, ensure_ascii=False)


def repeated(rng: random.Random, split: Split) -> str:
    return " ".join([word(rng, split)] * rng.randint(2, 6))


def signs(rng: random.Random, split: Split) -> str:
    return " ".join(draw(rng, words.signs, split) for _ in range(rng.randint(1, 4)))


KINDS: dict[Make, int] = {
    salad: 20,
    common_words: 10,
    made_up_words: 14,
    sentence: 24,
    numbers: 7,
    hexadecimal: 5,
    names: 5,
    code_lines: 10,
    address: 5,
    json_text: 5,
    repeated: 2,
    signs: 1,
    word: 6,
}
MULTI_LINE = (numbers, names, sentence, salad, address, common_words)


def cut(text: str, high: int) -> str:
    """The words of `text` that fit into `high` tokens, at least the first."""
    while num_tokens(text) > high and (" " in text or "\n" in text):
        text = text[: max(text.rfind(" "), text.rfind("\n"))].rstrip()
    return text


def random_text(rng: random.Random, split: Split) -> str:
    """One word to about 120 tokens; half of the texts have more than 40."""
    low, high = rng.choices(LENGTHS, LENGTH_SHARES)[0]
    if high <= 3:
        return word(rng, split)
    makes = rng.choices(list(KINDS), list(KINDS.values()), k=rng.choice((1, 1, 1, 2, 3)))
    joint = "\n" if makes[0] is code_lines else " "
    if makes[0] in MULTI_LINE and rng.random() < 0.2:
        joint = rng.choice(("\n", "\n", "\n\n"))
    text = makes[0](rng, split)
    while num_tokens(text) < low:
        text += joint + rng.choice(makes)(rng, split)
    return cut(text, high).strip() or word(rng, split)
