"""Tools: pick among one to four, fill the arguments, call two at once, use a result, or decline.

A fifth of the written kinds is held out whole, with its names, descriptions and requests; made-up
kinds draw their nouns, words and values from their share.
"""

import json
import random
from dataclasses import dataclass
from typing import Any

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Message, Split, assistant, pick, user
from scripts.pocket.skeletons import expand, fill, loosen, phrase
from scripts.pocket.skills import talk
from scripts.pocket.skills.tool_kinds import KINDS_OF, Kind, Parameter, made_up_kind, slots_of
from scripts.pocket.skills.values import Value, make_values

MADE_UP_KINDS = 0.35
MADE_UP_NAMES = 0.2
NONE_FITS = "None of my tools can do that."
TWO = (
    "{a} <And|And please|And now|Plus,> {b}",
    "{a} <Then|Next,|Afterwards,|When that is done,|And after this,> {b}",
    "{a} <Also, {b}|Also {b}|One more thing: {b}|And one more: {b}>",
    "{a}< |\n| ... >{B}",
    "{a} After that, {b}",
    "<First: {a} Second: {b}|First, {a} Second, {b}|A) {a} B) {b}|- {a}\n- {B}>",
    "{a} <Please also|And also, please,|Also please> {b}",
    "{a} <At the same time,|Together with that,|While you do that,> {b}",
    "<Do two things.|Two tasks.|Do both:|I need both.> {a} {B}",
    "{a} Besides, {b}",
    "{a}\n{B}",
    "1. {a}\n2. {B}",
    "Two things: {a} {B}",
    "{a} In addition, {b}",
    "{a} <Oh, and|And also|And then> {b}",
    "I have two requests. {a} {B}",
)
POLITE = (
    "<Please |Kindly |Quick: |>{a}",
    "<Can|Could|Would|Will> you <please |kindly |quickly |>{a}<| for me| now>?",
    "I <want|need|would like|am asking> you to {a}.",
    "{a}<, please| for me| now| right now| when you can|, thanks>.",
    "Now {a}.",
    "I'd like you to {a}.",
    "Go ahead and {a}.",
    "Help me: {a}.",
    "Your task: {a}.",
    "<It is time to|You should|Let us> {a}.",
)
SYSTEMS = (
    "You are a <helpful |friendly |>assistant.",
    "Use the tools when they help.",
    "You can call tools.",
    "You are Pocket. <Call a tool when one fits.|>",
    "You are an assistant with tools.",
)
DONE = ("ok", "done", "success", "true", '{"ok": true}', '{"status": "ok"}', '{"success": true}')
ERRORS = ("not found", "no connection", "access denied", "timeout", "invalid value", "out of stock")
OTHER_NAMES = {
    "get": ("fetch", "read", "lookup", "check"),
    "set": ("change", "adjust", "update"),
    "find": ("search", "lookup", "locate"),
    "create": ("make", "add", "new"),
    "add": ("create", "put", "insert"),
    "start": ("begin", "launch", "run"),
    "send": ("deliver", "write"),
    "book": ("reserve", "order"),
    "check": ("get", "read", "test"),
    "open": ("show", "view"),
    "list": ("show", "get"),
    "log": ("track", "save", "record"),
}
OUTSIDE = (
    "Tell me a joke.",
    "What is the meaning of life?",
    "Write a poem.",
    "Who won the game?",
    "Paint my house.",
    "Sing a song for me.",
    "What is the highest mountain?",
    "Fly to the moon.",
    "Cook dinner for me.",
    "Can you walk my dog?",
    "Clean my shoes.",
    "Write an essay about history.",
    "How tall is that mountain?",
    "Make me a sandwich.",
    "Who is the president?",
    "Wash the car.",
    "Drive me home.",
    "Fix my bike.",
    "Teach me the violin.",
    "Mow the lawn.",
    "Iron my shirts.",
    "Build a house.",
    "Why is the sky blue?",
    "Write a story about a dragon.",
    "Explain gravity.",
    "Carry my bags.",
    "Do my homework.",
    "Give me a haircut.",
    "Catch a fish.",
    "Who wrote Hamlet?",
)


@dataclass(frozen=True)
class Tool:
    """A kind of tool with its drawn name, description, argument names and choices."""

    kind: Kind
    name: str
    about: str
    names: dict[str, str]
    choices: dict[str, tuple[str, ...]]
    nouns: dict[str, str]
    is_told: bool

    def schema(self, p: Parameter) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": p.type}
        if self.choices[p.slot]:
            schema["enum"] = list(self.choices[p.slot])
        if self.is_told or self.names[p.slot] != p.slot:
            schema["description"] = "The " + p.slot.replace("_", " ")
        return schema

    def as_json(self) -> Message:
        properties = {self.names[p.slot]: self.schema(p) for p in self.kind.parameters}
        parameters = {"type": "object", "properties": properties, "required": list(properties)}
        function = {"name": self.name, "description": self.about, "parameters": parameters}
        return {"type": "function", "function": function}


def in_style(rng: random.Random, name: str) -> str:
    """snake_case as it is, or camelCase, dotted, with dashes or in PascalCase."""
    parts = name.split("_")
    style = rng.random()
    if style < 0.68:
        return name
    if style < 0.86:
        return parts[0] + "".join(part.capitalize() for part in parts[1:])
    if style < 0.92:
        return ".".join(parts)
    return "-".join(parts) if style < 0.96 else "".join(part.capitalize() for part in parts)


def tool_name(rng: random.Random, split: Split, kind: Kind, nouns: dict[str, str]) -> str:
    if split == "train" and rng.random() < MADE_UP_NAMES / 2:
        return "_".join(made_up_part(rng) for _ in range(rng.choice((1, 2, 2))))
    name = rng.choice(kind.names).format(**{k: v.replace(" ", "_") for k, v in nouns.items()})
    head, _, rest = name.partition("_")
    if rest and rng.random() < 0.3:
        name = f"{rng.choice((head, *OTHER_NAMES.get(head, ())))}_{rest}"
    return in_style(rng, name)


def made_up_part(rng: random.Random) -> str:
    """Part of a name that says nothing: it has to be read, not known."""
    return rng.choice(words.COMMON) if rng.random() < 0.6 else words.new_word(rng, "train")


def make_tool(rng: random.Random, split: Split, kind: Kind) -> Tool:
    nouns = {"noun": rng.choice(kind.nouns)} if kind.nouns else {}
    if kind.nouns and rng.random() < 0.25:
        nouns["noun"] = words.new_word(rng, split)
    names = {}
    for p in kind.parameters:
        is_made_up = split == "train" and rng.random() < MADE_UP_NAMES / 2
        names[p.slot] = made_up_part(rng) if is_made_up else p.slot
        if not is_made_up and rng.random() < 0.15:
            names[p.slot] = f"{p.slot}_{rng.choice(('name', 'value', 'id', 'arg'))}"
    choices = {
        p.slot: tuple(rng.sample(p.choices, rng.randint(2, len(p.choices)))) if p.choices else ()
        for p in kind.parameters
    }
    about = rng.choice(kind.about).format(**nouns)
    if rng.random() < 0.06:
        about = about.lower() + "."
    name = tool_name(rng, split, kind, nouns)
    return Tool(kind, name, about, names, choices, nouns, rng.random() < 0.6)


def ask(rng: random.Random, split: Split, tool: Tool) -> tuple[str, dict[str, Any]]:
    """A request for `tool` in the user's words, and the arguments that it names."""
    skeleton = polite(rng, split, expand(rng, rng.choice(tool.kind.requests)))
    said = dict(tool.nouns)
    arguments = {}
    for p in tool.kind.parameters:
        if p.slot in slots_of(skeleton):
            value: Value = p.draw(rng, split, tool.choices[p.slot])
            arguments[tool.names[p.slot]], said[p.slot] = value.meant, value.said
    return fill(skeleton, said), arguments


def polite(rng: random.Random, split: Split, skeleton: str) -> str:
    """A command, now and then, as a question or a wish."""
    is_command = skeleton.endswith(".") and skeleton.count(". ") == 0
    first = skeleton.split(" ")[0]
    if not is_command or not first.isalpha() or not first.istitle() or rng.random() < 0.55:
        return loosen(rng, skeleton)
    if first.lower() in NO_VERBS:
        return loosen(rng, skeleton)
    form = expand(rng, pick(rng, POLITE, split))
    return loosen(rng, form.replace("{a}", first.lower() + skeleton[len(first) : -1]))


NO_VERBS = frozenset(
    "the i my we on at in for our do show's every meeting taxi music news put's make's heat's "
    "blinds shopping laundry oven new first tip a send's order's stock jump's".split()
)


def call(tool: Tool, arguments: dict[str, Any]) -> Message:
    return {"type": "function", "function": {"name": tool.name, "arguments": arguments}}


def calls(*made: Message) -> Message:
    return {"role": "assistant", "content": "", "tool_calls": list(made)}


def draw_kinds(rng: random.Random, split: Split, count: int) -> list[Kind]:
    """Kinds of different groups; made-up ones often share a noun, so that the verb decides."""
    if rng.random() < MADE_UP_KINDS:
        near = (words.new_word(rng, split),) if rng.random() < 0.3 else ()
        kinds = [made_up_kind(rng, split, near) for _ in range(count)]
        if rng.random() < 0.3 and count > 1:
            kinds[-1] = rng.choice(KINDS_OF[split])
    else:
        kinds = rng.sample(KINDS_OF[split], count)
    return kinds if len({k.group for k in kinds}) == count else draw_kinds(rng, split, count)


def draw_tools(rng: random.Random, split: Split) -> list[Tool]:
    kinds = draw_kinds(rng, split, rng.choice((1, 2, 2, 3, 3, 4)))
    tools = [make_tool(rng, split, kind) for kind in kinds]
    lists = [[t.name for t in tools], *(list(t.names.values()) for t in tools)]
    is_clear = all(len(set(names)) == len(names) for names in lists)
    return tools if is_clear else draw_tools(rng, split)


def result_turn(
    rng: random.Random, split: Split, tool: Tool, arguments: dict[str, Any]
) -> tuple[list[Message], str]:
    """The tool's result with the answer made of it, and what has to stand in the answer."""
    kind = rng.random()
    if kind < 0.08:
        error = rng.choice(ERRORS)
        content = rng.choice((f'{{"error": "{error}"}}', f"error: {error}", f"Error: {error}"))
        return [{"role": "tool", "content": content}, assistant(f"That failed: {error}.")], error
    if tool.kind.result is None and kind < 0.3:
        return [{"role": "tool", "content": rng.choice(DONE)}, assistant("Done.")], "Done"
    if tool.kind.result is None or kind < 0.5:
        return any_result(rng, split)
    result = tool.kind.result
    value = result.make(rng, split).said
    content = rng.choice((f'{{"{result.key}": "{value}"}}', f"{result.key}: {value}", value))
    spoken = {p.slot: str(arguments.get(tool.names[p.slot], "it")) for p in tool.kind.parameters}
    answer = fill(result.answer, {"value": value, **tool.nouns, **spoken})
    return [{"role": "tool", "content": content}, assistant(answer)], value


RESULTS = (
    *(("temperature", "signed"), ("sky", "sky"), ("price", "integer 1 900"), ("status", "status")),
    *(("time", "clock"), ("name", "person"), ("result", "word"), ("id", "code"), ("date", "date")),
    *(("count", "count"), ("city", "city"), ("value", "decimal"), ("total", "integer 1 5000")),
    *(("color", "color"), ("message", "phrase"), ("distance", "integer 1 900"), ("email", "email")),
    *(("owner", "person"), ("title", "title"), ("humidity", "integer 0 100"), ("phone", "phone")),
)


def any_result(rng: random.Random, split: Split) -> tuple[list[Message], str]:
    """An object of one to three values, told in the order in which they stand."""
    drawn = {}
    for key, sort in rng.sample(RESULTS, rng.choice((1, 1, 2, 2, 3))):
        key = words.new_word(rng, split) if rng.random() < 0.25 else key
        drawn[key] = make_values(sort)(rng, split)
    values = {key: value.meant for key, value in drawn.items()}
    content = json.dumps(values, ensure_ascii=False)
    if rng.random() < 0.3:
        content = rng.choice((", ", "\n")).join(f"{k}: {v}" for k, v in values.items())
    told = words.join_and([f"the {key} is {value}" for key, value in values.items()])
    answer = told[0].upper() + told[1:] + "."
    return [{"role": "tool", "content": content}, assistant(answer)], str(list(values.values())[-1])


def start(rng: random.Random) -> list[Message]:
    if rng.random() < 0.7:
        return []
    return [{"role": "system", "content": expand(rng, rng.choice(SYSTEMS))}]


def called(dialogue: list[Message], tools: list[Tool]) -> Dialogue:
    return Dialogue(dialogue, [t.as_json() for t in tools], check="calls")


def one_call(rng: random.Random, split: Split) -> Dialogue:
    tools = draw_tools(rng, split)
    tool = rng.choice(tools)
    text, arguments = ask(rng, split, tool)
    return called([*start(rng), user(text), calls(call(tool, arguments))], tools)


def with_result(rng: random.Random, split: Split) -> Dialogue:
    """A call with its result and answer, and sometimes further requests."""
    tools = draw_tools(rng, split)
    messages = start(rng)
    for turn in range(rng.choice((1, 1, 2, 3))):
        tool = rng.choice(tools)
        text, arguments = ask(rng, split, tool)
        messages += [user(text), calls(call(tool, arguments))]
        if turn and rng.random() < 0.4:
            return called(messages, tools)
        answered, must = result_turn(rng, split, tool, arguments)
        messages += answered
    return Dialogue(messages, [t.as_json() for t in tools], check="contains", must=(must,))


def two_calls(rng: random.Random, split: Split) -> Dialogue:
    tools = draw_tools(rng, split)
    chosen = [rng.choice(tools), rng.choice(tools)]
    (a, a_args), (b, b_args) = (ask(rng, split, tool) for tool in chosen)
    if not a.endswith(("?", "!", ".")):
        a += "."
    text = fill(expand(rng, pick(rng, TWO, split)), {"a": a, "b": b[0].lower() + b[1:], "B": b})
    made = calls(call(chosen[0], a_args), call(chosen[1], b_args))
    return called([*start(rng), user(text), made], tools)


def no_call(rng: random.Random, split: Split) -> Dialogue:
    """A request that belongs to a tool which is not offered, or to none at all."""
    tools = draw_tools(rng, split)
    shown = [t.as_json() for t in tools]
    kind = rng.random()
    if kind < 0.25:
        small = talk.make_dialogue(rng, split).messages
        return Dialogue([*start(rng), *small], shown, check="no_call")
    if kind < 0.5:
        text = phrase(rng, OUTSIDE, split)
    else:
        groups = {t.kind.group for t in tools}
        others = [k for k in rng.sample(KINDS_OF[split], 6) if k.group not in groups]
        text = ask(rng, split, make_tool(rng, split, rng.choice(others)))[0]
    return Dialogue([*start(rng), user(text), assistant(NONE_FITS)], shown, check="no_call")


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    makes = (one_call, with_result, two_calls, no_call)
    return rng.choices(makes, (48, 20, 17, 15))[0](rng, split)
