"""Memory: facts told earlier in the conversation are asked for up to six turns later."""

import random
from dataclasses import dataclass

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Message, Skill, Split, assistant, pick, user
from scripts.pocket.skills import arithmetic, copying, talk


@dataclass(frozen=True)
class Topic:
    """How a kind of fact is told, acknowledged and asked for; `{}` is the value."""

    tell: tuple[str, ...]
    ask: tuple[str, ...]
    answer: str
    acknowledge: tuple[str, ...] = (
        "Okay, I will remember that.",
        "Got it!",
        "Noted: {}.",
        "Good to know!",
    )


def favorite(kind: str) -> Topic:
    return Topic(
        tell=(
            f"My favorite {kind} is {{}}.",
            f"{{}} is my favorite {kind}.",
            f"I like {{}} best of every {kind}.",
            f"The {kind} I love most is {{}}.",
            f"Remember that my favorite {kind} is {{}}.",
            f"For me the best {kind} is {{}}.",
            f"my favourite {kind} is {{}}",
            f"If I had to choose a {kind}, it would be {{}}.",
            f"I really love {{}}, it is my favorite {kind}.",
            f"Just so you know, my favorite {kind} is {{}}.",
        ),
        ask=(
            f"What is my favorite {kind}?",
            f"Which {kind} do I like best?",
            f"Do you remember my favorite {kind}?",
            f"Tell me my favorite {kind}.",
            f"What {kind} do I love most?",
            f"what's my favourite {kind}?",
            f"Which {kind} is my favorite?",
            f"Can you recall my favorite {kind}?",
            f"Say which {kind} I prefer.",
            f"What was my favorite {kind} again?",
        ),
        answer=f"Your favorite {kind} is {{}}.",
    )


TOPICS: dict[str, Topic] = {
    "name": Topic(
        tell=(
            "My name is {}.",
            "I'm {}.",
            "Hi, I am {}!",
            "Call me {}.",
            "You can call me {}.",
            "Hello, my name is {}. Nice to meet you.",
            "I am called {}.",
            "{} is my name.",
            "People call me {}.",
            "Hey, {} here.",
            "Hi! My name's {}.",
            "This is {} speaking.",
            "My friends call me {}.",
            "Please remember my name: {}.",
            "name's {}",
        ),
        ask=(
            "What is my name?",
            "Who am I?",
            "Do you remember my name?",
            "What's my name?",
            "Can you tell me my name?",
            "Tell me my name.",
            "What am I called?",
            "how do you call me?",
            "Say my name.",
            "What did I say my name was?",
            "what is my name",
            "Do you still know who I am?",
            "Remind me, what is my name?",
            "Which name did I tell you?",
            "My name is?",
        ),
        answer="Your name is {}.",
        acknowledge=(
            "Nice to meet you, {}!",
            "Hello, {}!",
            "Hi {}! How can I help?",
            "Pleased to meet you, {}.",
        ),
    ),
    "city": Topic(
        tell=(
            "I live in {}.",
            "I am from {}.",
            "My home is in {}.",
            "I moved to {} last year.",
            "I'm living in {}.",
            "My city is {}.",
            "Right now I live in {}.",
            "I come from {}.",
            "{} is where I live.",
            "I reside in {}.",
        ),
        ask=(
            "Where do I live?",
            "Which city do I live in?",
            "What is my city?",
            "Do you know where I live?",
            "In which town do I live?",
            "Where is my home?",
            "Tell me where I live.",
            "where am I living?",
            "What city am I in?",
            "Where did I say I live?",
        ),
        answer="You live in {}.",
    ),
    "job": Topic(
        tell=(
            "I work as a {}.",
            "I am a {}.",
            "My job is {}.",
            "I'm a {} by profession.",
            "I earn my money as a {}.",
            "I have been a {} for ten years.",
            "By trade I am a {}.",
            "My profession is {}.",
            "I do the work of a {}.",
            "I got a job as a {}.",
        ),
        ask=(
            "What is my job?",
            "What do I do for a living?",
            "What do I work as?",
            "Which job do I have?",
            "What is my profession?",
            "Tell me my job.",
            "Do you remember my job?",
            "what's my job?",
            "What kind of work do I do?",
            "What did I say my job is?",
        ),
        answer="You work as a {}.",
    ),
    "age": Topic(
        tell=(
            "I am {} years old.",
            "I'm {} years old.",
            "My age is {}.",
            "I turned {} this year.",
            "I just turned {}.",
            "I have lived {} years.",
            "Last week I became {}.",
            "i am {} years old",
            "At the moment I am {} years old.",
            "My age? I am {}.",
        ),
        ask=(
            "How old am I?",
            "What is my age?",
            "Do you know how old I am?",
            "Tell me my age.",
            "What age am I?",
            "Do you remember my age?",
            "how old am i",
            "My age is what?",
            "Say how old I am.",
            "How old did I say I am?",
        ),
        answer="You are {} years old.",
    ),
    "number": Topic(
        tell=(
            "My lucky number is {}.",
            "Remember the number {}.",
            "The number is {}.",
            "Please keep this number: {}.",
            "Keep the number {} in mind.",
            "My number is {}.",
            "I am thinking of the number {}.",
            "Note the number {}.",
            "Here is a number for you: {}.",
            "Don't forget this number: {}.",
        ),
        ask=(
            "What is my number?",
            "Which number did I tell you?",
            "What was the number?",
            "Tell me the number.",
            "Do you remember the number?",
            "What number did I give you?",
            "Say the number again.",
            "What number should you remember?",
            "Which number was it?",
            "the number, please?",
        ),
        answer="The number is {}.",
    ),
    "code": Topic(
        tell=(
            "The code is {}.",
            "Remember this code: {}",
            "My password is {}.",
            "The secret word is {}.",
            "Keep this code for me: {}",
            "The code word is {}.",
            "Note this code: {}",
            "Please remember the code {}.",
            "Here is the code: {}",
            "Don't forget the code {}.",
        ),
        ask=(
            "What is the code?",
            "Which code did I give you?",
            "Tell me the code.",
            "What was the code?",
            "Do you remember the code?",
            "Give me the code again.",
            "Say the code.",
            "the code?",
            "Repeat the code I told you.",
            "What code should you remember?",
        ),
        answer="The code is {}.",
    ),
    "pet": Topic(
        tell=(
            "My {animal} is called {}.",
            "I have a {animal} named {}.",
            "The name of my {animal} is {}.",
            "My {animal}'s name is {}.",
            "We have a {animal}, {}.",
            "I own a {animal} called {}.",
            "{} is my {animal}.",
            "There is a {animal} at home, its name is {}.",
            "I got a {animal} and named it {}.",
            "This is my {animal} {}.",
        ),
        ask=(
            "What is my {animal} called?",
            "What is the name of my {animal}?",
            "What's my {animal}'s name?",
            "How is my {animal} called?",
            "Do you remember my {animal}'s name?",
            "Tell me the name of my {animal}.",
            "Which name does my {animal} have?",
            "what do I call my {animal}?",
            "Who is my {animal}?",
            "What name did I give my {animal}?",
        ),
        answer="Your {animal} is called {}.",
    ),
    "color": favorite("color"),
    "food": favorite("food"),
    "animal": favorite("animal"),
    "hobby": favorite("hobby"),
    "month": favorite("month"),
}
POOLS = {
    "job": words.JOBS,
    "color": words.COLORS,
    "food": words.FOODS,
    "animal": words.ANIMALS,
    "hobby": words.HOBBIES,
    "month": words.MONTHS,
}
UNKNOWN = "You have not told me that yet."


def make_value(kind: str, rng: random.Random, split: Split) -> str:
    if kind in ("name", "pet"):
        return words.person(rng, split)
    if kind == "city":
        return words.city(rng, split)
    if kind == "age":
        return words.number(rng, split, 5, 99)
    if kind == "number":
        return words.number(rng, split, 0, 10 ** rng.randint(1, 5))
    if kind == "code":
        return words.new_word(rng, split) if rng.random() < 0.4 else words.new_code(rng, split)
    return words.one_of(rng, POOLS[kind], split)


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


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    """One to four facts, up to five turns between, then one to three questions."""
    messages: list[Message] = []
    animal = words.one_of(rng, words.ANIMALS, split)
    facts = {
        k: make_value(k, rng, split)
        for k in rng.sample(list(TOPICS), rng.choice((1, 1, 2, 2, 3, 4)))
    }

    def fill(text: str, kind: str) -> str:
        return text.replace("{animal}", animal).replace("{}", facts[kind])

    told = list(facts)
    while told:
        batch = [told.pop() for _ in range(min(len(told), rng.choice((1, 1, 1, 2))))]
        said = " ".join(fill(pick(rng, TOPICS[k].tell, split), k) for k in batch)
        messages += [
            user(said),
            assistant(fill(rng.choice(TOPICS[batch[0]].acknowledge), batch[0])),
        ]
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3, 4))):
        messages += small_turn(rng, split)
    asked = rng.sample(list(facts), min(len(facts), rng.choice((1, 1, 2, 3))))
    for kind in asked:
        question = pick(rng, TOPICS[kind].ask, split)
        messages += [user(fill(question, kind)), assistant(fill(TOPICS[kind].answer, kind))]
    must = (facts[asked[-1]],)
    if rng.random() < 0.08:
        missing = rng.choice([k for k in TOPICS if k not in facts])
        question = pick(rng, TOPICS[missing].ask, split).replace("{animal}", animal)
        messages += [user(question), assistant(UNKNOWN)]
        must = (UNKNOWN,)
    return Dialogue(messages, check="contains", must=must)
