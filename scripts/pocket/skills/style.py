"""Style rules in the system prompt: how to end or begin, capitals, one word, and the like.

The rule is applied by code to an ordinary answer, so that the gold answer obeys it exactly.
"""

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Message, Skill, Split, assistant, pick, share, user
from scripts.pocket.skeletons import expand
from scripts.pocket.skills import arithmetic, copying, help_answers, memory, talk, unknown


@dataclass(frozen=True)
class Rule:
    """Phrasings of a rule, what it does to an answer, and the form of an answer that obeys.

    `{}` is a word or mark.
    """

    phrasings: tuple[str, ...]
    apply: Callable[[str, str], str]
    form: str


RULES: dict[str, Rule] = {
    "end": Rule(
        (
            "<End|Finish|Close|Conclude> <every|each> <answer|reply|response|message|sentence of yours> with {}",
            "End <every|each> <answer|reply> with the <word|words|text|sign> {}",
            "<Always |Please |You always |You must always |>end <all |>your <answers|replies|messages> with {}",
            "<Every|Each> <answer|reply|response> <must|has to|should|shall> end with {}",
            "<Put|Write|Add|Place> {} at the end of <every|each> <answer|reply|response|message>.",
            "Your <answers|replies> always <end|finish> with {}",
            "At the end of <each|every> <answer|reply|message> <say|write|add|put> {}",
            "<Each|All> of your replies must finish with {}",
            'End <all|your> answers with "{}".',
            "<You always|Always> finish with {}",
            "After <every|each> <answer|reply> <write|say|add> {}",
            "<Add|Append> {} to <the end of |>each answer.",
            "The last <word|words|thing> of every answer <is|are> {}",
            'No <answer|reply> without "{}" at the end.',
            "Whatever <the user|I|they> <asks|ask|says>, end with {}",
            'Your <last|final> <word|words> <is|are> always "{}".',
            'When you answer, <close|end|finish> with "{}".',
        ),
        lambda text, mark: f"{text} {mark}",
        r"{}\Z",
    ),
    "begin": Rule(
        (
            "<Begin|Start|Open> <every|each> <answer|reply|response|message> with {}",
            "<Always |Please |You always |>start <all |>your <answers|replies> with {}",
            "<Always|You always> <start|begin> with {}",
            "<Each|Every> reply <begins|starts> with {}",
            "<Every|Each> <answer|reply|response> <must|has to|should> <start|begin> with {}",
            "<Put|Write|Place> {} at the <beginning|start> of <every|each> <answer|reply>.",
            "Your answers always <begin|start> with {}",
            '<Start|Begin> <each|every> answer with <the word |>"{}".',
            "The first <word|words|thing> of every answer <is|are> {}",
            "Before <every|each> answer <write|say|put> {}",
            "<Say|Write> {} before you answer.",
            "<Start|Begin> all of your replies with {}",
            "Each answer has to open with {}",
            'Whatever <the user|I> <asks|ask|says>, begin with "{}".',
            "Prefix <every|each> <answer|reply> with {}",
        ),
        lambda text, mark: f"{mark} {text}",
        r"\A{}",
    ),
    "both": Rule(
        (
            "<Begin|Start> and end <every|each> answer with {}",
            "Put {} before and after <every|each> answer.",
            'Write "{}" at the start and at the end of each answer.',
            'Your answers begin and end with "{}".',
            "Surround <every|each> <answer|reply> with {}",
        ),
        lambda text, mark: f"{mark} {text} {mark}",
        r"\A{0}.*{0}\Z",
    ),
    "capitals": Rule(
        (
            "<Answer|Reply|Respond|Write|Speak> <only |>in <capitals|capital letters|upper case|uppercase>.",
            "Write everything in <capital letters|capitals|upper case>.",
            "Use only <upper case|capital letters|capitals>.",
            "<Answer|Reply|Respond> in <ALL CAPS|all caps|ALL CAPITALS>.",
            "Always <write|answer|speak> in <capitals|capital letters|all caps>.",
            "All your answers are in upper case letters.",
            "<Shout|Yell>: use capital letters only.",
            "<Reply|Respond|Write> in uppercase< only|>.",
            "Caps lock is on<: write everything in capitals|, keep it on>.",
            "<Every letter|All letters> of your answer must be <a capital|capitals|upper case>.",
            "Please use capitals for every answer.",
            "You speak only in capital letters.",
            "Answer with uppercase letters only.",
            "only capitals please",
            "Your <replies|answers> must be in all <capitals|caps>.",
            "<You always shout|You are shouting>: ALL CAPS.",
        ),
        lambda text, _: text.upper(),
        r"\A[^a-z]+\Z",
    ),
    "lower": Rule(
        (
            "<Answer|Reply|Respond|Write> in <lower case|lowercase|small letters>< only|>.",
            "Write everything in <small letters|lower case|lowercase>.",
            "<Use|Write> no capital letters.",
            "Always <write|answer> in <lowercase|small letters>.",
            "Use only <lower case|small|lowercase> letters.",
            "Never <use|write> <capitals|capital letters|upper case>.",
            "Reply in lowercase only.",
            "All your answers are in <small letters|lower case>.",
            "<Write|Answer> without <capital letters|capitals|uppercase>.",
            "Answer with small letters only.",
            "no capitals<,| please,> only lowercase",
        ),
        lambda text, _: text.lower(),
        r"\A[^A-Z]+\Z",
    ),
    "brackets": Rule(
        (
            "Put <every|each> answer in <square |>brackets.",
            "Write each answer in [square brackets].",
            "<Wrap|Set> <every|each> <answer|reply> in <square |>brackets.",
            "Answer <inside|in> <square |>brackets.",
            "Put [ and ] around your <answers|replies>.",
            "All answers stand in square brackets.",
            "Surround each answer with <square |>brackets.",
            "Every reply goes in [ ].",
            "Use square brackets around every answer.",
            "Enclose each reply in brackets.",
        ),
        lambda text, _: f"[{text}]",
        r"\A\[.*\]\Z",
    ),
    "quotes": Rule(
        (
            "Put <every|each> answer in <double |>quotes.",
            "<Write|Give> <each|every> answer in quotation marks.",
            "<Wrap|Enclose> <every|each> <answer|reply> in <double |>quotes.",
            "Answer <inside|in|within> quotation marks.",
            "Quote <all of |>your answers.",
            'Put " around <every|each> <answer|reply>.',
            "Use quotation marks around <every answer|all answers>.",
        ),
        lambda text, _: f'"{text}"',
        r'\A".*"\Z',
    ),
    "plain": Rule(
        (
            "<Use|Write> no punctuation.",
            "<Answer|Write|Reply> without <punctuation|punctuation marks>.",
            "Never use <punctuation|periods or commas or other marks>.",
            "Leave out <all |>punctuation.",
            "No <punctuation|dots, commas or marks> in your answers.",
            "Your answers have no punctuation <at all|marks>.",
        ),
        lambda text, _: re.sub(r"[^\w\s-]", "", text),
        r"\A[\w\s-]+\Z",
    ),
    "json": Rule(
        (
            '<Answer|Reply|Respond> <only |>as JSON: {"answer": "..."}',
            '<Answer|Reply> with a JSON object that has the key "answer".',
            'Put every answer into {"answer": ...}.',
            'Your replies are JSON objects with <one|the> key "answer".',
            'Use the form {"answer": "your answer"} <always|for every reply>.',
            'Write JSON only, like {"answer": "text"}.',
        ),
        lambda text, _: json.dumps({"answer": text}, ensure_ascii=False),
        r'\A\{"answer": ".*"\}\Z',
    ),
    "name": Rule(
        (
            "<Sign|Close> <every|each> <answer|reply> with your name, {}",
            "Your name is {}. <Sign every answer with it|Put your name at the end of each answer>.",
            "Call the user {} at the end of <every|each> answer.",
            "Always <name|address> the user, {}, at the end.",
            "The user is {}. <End each answer with the name|Say the name at the end of each answer>.",
        ),
        lambda text, mark: f"{text} {mark}",
        r"{}\Z",
    ),
    "line": Rule(
        (
            "Write {} on a line of its own after <every|each> answer.",
            "After <every|each> answer, start a new line and write {}",
            "<Add|Put> a last line with {} to <every|each> answer.",
            "The last line of <every|each> answer is {}",
            "Every answer has a second line: {}",
        ),
        lambda text, mark: f"{text}\n{mark}",
        r"\n{}\Z",
    ),
}
ONE_WORD = (
    "<Answer|Reply|Respond> <only |>in one word.",
    "Use only one word.",
    "<Reply|Answer|Respond> with <a single|one|exactly one|just one> word< only|>.",
    "Always <answer|reply> with <one|a single> word.",
    "Your answers have <exactly|only> one word.",
    "One word per <answer|reply>.",
    "Give <only |>one-word answers.",
    "<Say|Write> <just|only> one word.",
    "Respond with one word only.",
    "<Answer|Reply> with a single word, nothing more.",
    "Only one word is allowed per answer.",
    "Keep it to one word.",
    "Write one word as the answer.",
    "A single word must do.",
    "You may say one word only.",
    "Be very short: one word.",
    "Never use more than one word.",
)
YES_NO = (
    "<Answer|Reply> <only |>with yes or no<.| only.>",
    "Say <only |>yes or no.",
    "Your <answers are|answer is> <either |>Yes or No<| and nothing else>.",
    "<Only|Just> yes or no<, please|>.",
    "You may <only |>say yes or no.",
    "Yes or no<, nothing else|>.",
    "Respond with Yes or No.",
)
DONT_KNOW = (
    'If you do not know <the answer|something>, <say|answer|write> "{}".',
    "When you <do not|cannot> know <something|the answer>, <say|answer> {}",
    'Say "{}" to <everything|anything> that you <do not|cannot> know.',
    "Unknown things get the answer {}",
    'For <questions|things> that you cannot answer, <say|reply> <just |only |>"{}".',
    "Do not know it? Say {}",
)
ONE_WORD_QA = (
    *(("Is fire hot?", "Yes"), ("Is ice hot?", "No"), ("Can you help me?", "Yes")),
    *(("Who are you?", "Pocket"), ("What is your name?", "Pocket"), ("Hello!", "Hello")),
    *(("Thank you!", "Welcome"), ("Are you human?", "No"), ("Are you a model?", "Yes")),
    *(("Are you big?", "No"), ("Are you small?", "Yes"), ("Good morning!", "Hello")),
    *(("Bye!", "Goodbye"), ("Can you fly?", "No"), ("Do you run locally?", "Yes")),
    *(("Are you ready?", "Yes"), ("Do you need the internet?", "No"), ("How are you?", "Fine")),
    *(("Are you there?", "Yes"), ("Hi", "Hello"), ("What color is the sky?", "Blue")),
    *(
        ("What color is grass?", "Green"),
        ("What color is snow?", "White"),
        ("Is water wet?", "Yes"),
    ),
    *(("What color is blood?", "Red"), ("Is the sun hot?", "Yes"), ("Can fish walk?", "No")),
    *(("What do cows give?", "Milk"), ("Can birds fly?", "Yes"), ("Is a whale small?", "No")),
    *(("What is frozen water?", "Ice"), ("What barks?", "Dog"), ("Is a mouse big?", "No")),
    *(
        ("Which season is cold?", "Winter"),
        ("Which season is hot?", "Summer"),
        ("Is it hard?", "No"),
    ),
    *(("What shines at night?", "Moon"), ("Do you sleep?", "No"), ("Can you dance?", "No")),
    *(("Are you sure?", "Yes"), ("Is Pocket a dog?", "No"), ("What do bees make?", "Honey")),
    *(("What is the capital of France?", "Paris"), ("What is the opposite of hot?", "Cold")),
    *(("What is the opposite of big?", "Small"), ("What is the opposite of yes?", "No")),
    *(("What is the opposite of up?", "Down"), ("What color is a lemon?", "Yellow")),
    *(("Do you like me?", "Yes"), ("Do cats meow?", "Yes"), ("Is the earth flat?", "No")),
    *(
        ("Tell me something.", "Something"),
        ("How is life?", "Good"),
        ("Which animal meows?", "Cat"),
    ),
    *(
        ("Are you Pocket?", "Yes"),
        ("Can I ask something?", "Sure"),
        ("Is one less than two?", "Yes"),
    ),
    *(
        ("What is your favorite color?", "Blue"),
        ("Do you eat?", "No"),
        ("What makes honey?", "Bees"),
    ),
)
MARKS = (
    "Over.",
    "Amen.",
    "Meow!",
    "Cheers!",
    "That is all.",
    "Over and out.",
    "Have a nice day!",
    "Ahoy!",
    "Yes, sir.",
    "Thank you.",
    "!!!",
    "***",
    "~",
    "Beep boop.",
    "Ta-da!",
    "Sincerely, Pocket.",
    "Ho ho ho!",
    "Done.",
    "<3",
    ":-)",
    "Good luck!",
    "Arrr!",
    "END",
    "Peace.",
    "Okay?",
    "Stay safe.",
    "Aye aye.",
    "Woof!",
    "Hooray!",
    "See you soon.",
)
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
