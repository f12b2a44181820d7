"""Tools: pick among one to four, fill the arguments, call two at once, use a result, or decline.

A tool is a drawn combination of a verb, an object and parameters; names and descriptions of
held-out tools use objects, values and request phrasings that training never sees.
"""

import random
from dataclasses import dataclass, replace
from typing import Any

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Message, Split, assistant, pick, user
from scripts.pocket.skills import tool_kinds
from scripts.pocket.skills.tool_kinds import Kind, Parameter

MADE_UP_NAMES = 0.35
NONE_FITS = "None of my tools can do that."
TWO = (
    "{a} And {b}",
    "{a} Then {b}",
    "{a} Also, {b}",
    "{a} {B}",
    "{a} After that, {b}",
    "First: {a} Second: {b}",
    "{a} Please also {b}",
    "{a} At the same time, {b}",
    "Do two things. {a} {B}",
    "{a} Besides, {b}",
)
SYSTEMS = (
    "",
    "",
    "",
    "",
    "You are a helpful assistant.",
    "Use the tools when they help.",
    "You can call tools.",
)
DONE = ("ok", "done", "success", "true", '{"ok": true}', '{"status": "ok"}')
OUTSIDE = (
    "Tell me a joke.",
    "What is the capital of Peru?",
    "Write a poem.",
    "Who won the game?",
    "How are you?",
    "Sing a song for me.",
    "What is the meaning of life?",
    "Paint me a picture.",
    "Fly to the moon.",
    "Cook dinner for me.",
    "Can you walk my dog?",
    "Clean my room.",
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
    "Water the flowers.",
    "Feed the cat.",
)


@dataclass(frozen=True)
class Tool:
    """A kind of tool with its drawn name, description and parameter names."""

    kind: Kind
    name: str
    description: str
    parameters: tuple[Parameter, ...]
    nouns: dict[str, str]

    def as_json(self) -> Message:
        properties: dict[str, Any] = {}
        for p in self.parameters:
            schema: dict[str, Any] = {"type": p.type}
            if p.choices:
                schema["enum"] = list(p.choices)
            if p.description:
                schema["description"] = p.description
            properties[p.name] = schema
        required = [p.name for p in self.parameters]
        parameters = {"type": "object", "properties": properties, "required": required}
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": function}


def make_tool(rng: random.Random, split: Split, kind: Kind) -> Tool:
    nouns = {"noun": pick(rng, kind.nouns, split)} if kind.nouns else {}
    if kind.nouns and rng.random() < 0.25:
        nouns["noun"] = words.new_word(rng, split)
    slug = {k: v.replace(" ", "_") for k, v in nouns.items()}
    name = pick(rng, kind.names, split).format(**slug)
    if split == "train" and rng.random() < MADE_UP_NAMES:
        name = "_".join(made_up_part(rng) for _ in range(rng.choice((1, 2, 2))))
    if rng.random() < 0.15:
        head, *rest = name.split("_")
        name = head + "".join(part.capitalize() for part in rest)
    description = pick(rng, kind.descriptions, split).format(**nouns)
    parameters = tuple(draw_parameter(rng, split, p) for p in kind.parameters)
    return Tool(kind, name, description, parameters, nouns)


def made_up_part(rng: random.Random) -> str:
    """Part of a name that says nothing: it has to be read, not known."""
    return rng.choice(words.COMMON) if rng.random() < 0.6 else words.new_word(rng, "train")


def draw_parameter(rng: random.Random, split: Split, p: Parameter) -> Parameter:
    is_made_up = split == "train" and rng.random() < MADE_UP_NAMES
    name = made_up_part(rng) if is_made_up else pick(rng, p.names, split)
    is_told = is_made_up or rng.random() < 0.7
    description = p.description if is_told else ""
    choices = tuple(rng.sample(p.choices, rng.randint(2, len(p.choices)))) if p.choices else ()
    return replace(p, name=name, description=description, choices=choices)


def ask(rng: random.Random, split: Split, tool: Tool) -> tuple[str, dict[str, Any]]:
    """A request for `tool` in the user's words, and the arguments that it implies."""
    arguments, said = {}, {}
    for p in tool.parameters:
        value, text = p.draw(rng, split)
        arguments[p.name], said[p.slot] = value, text
    return pick(rng, tool.kind.requests, split).format(**tool.nouns, **said), arguments


def call(tool: Tool, arguments: dict[str, Any]) -> Message:
    return {"type": "function", "function": {"name": tool.name, "arguments": arguments}}


def calls(*made: Message) -> Message:
    return {"role": "assistant", "content": "", "tool_calls": list(made)}


def draw_tools(rng: random.Random, split: Split) -> list[Tool]:
    kinds = rng.sample(tool_kinds.KINDS, rng.choice((1, 2, 2, 3, 3, 4)))
    tools = [make_tool(rng, split, kind) for kind in kinds]
    names = [t.name for t in tools]
    parameters = [[p.name for p in t.parameters] for t in tools]
    is_clear = all(len(set(x)) == len(x) for x in (names, *parameters))
    return tools if is_clear else draw_tools(rng, split)


def result_turn(
    rng: random.Random, split: Split, tool: Tool, arguments: dict[str, Any]
) -> list[Message]:
    """The tool's result and the answer made of it."""
    if tool.kind.result is None:
        return [{"role": "tool", "content": rng.choice(DONE)}, assistant("Done.")]
    result = tool.kind.result
    value = result.make(rng, split)
    content = rng.choice((f'{{"{result.key}": "{value}"}}', f"{result.key}: {value}", value))
    spoken = {p.slot: arguments[p.name] for p in tool.parameters}
    answer = result.answer.format(value=value, **tool.nouns, **spoken)
    return [{"role": "tool", "content": content}, assistant(answer)]


def start(rng: random.Random) -> list[Message]:
    system = rng.choice(SYSTEMS)
    return [{"role": "system", "content": system}] if system else []


def one_call(rng: random.Random, split: Split) -> Dialogue:
    tools = draw_tools(rng, split)
    tool = rng.choice(tools)
    text, arguments = ask(rng, split, tool)
    messages = [*start(rng), user(text), calls(call(tool, arguments))]
    if rng.random() < 0.3:
        messages += result_turn(rng, split, tool, arguments)
        answer = messages[-1]["content"]
        return Dialogue(messages, [t.as_json() for t in tools], check="contains", must=(answer,))
    return Dialogue(messages, [t.as_json() for t in tools], check="calls")


def two_calls(rng: random.Random, split: Split) -> Dialogue:
    tools = draw_tools(rng, split)
    chosen = [rng.choice(tools), rng.choice(tools)]
    (a, a_args), (b, b_args) = (ask(rng, split, tool) for tool in chosen)
    if not a.endswith(("?", "!", ".")):
        a += "."
    text = pick(rng, TWO, split).format(a=a, b=b[0].lower() + b[1:], B=b)
    made = calls(call(chosen[0], a_args), call(chosen[1], b_args))
    return Dialogue([*start(rng), user(text), made], [t.as_json() for t in tools], check="calls")


def no_call(rng: random.Random, split: Split) -> Dialogue:
    """A request that belongs to a tool which is not offered, or to none at all."""
    tools = draw_tools(rng, split)
    shown = [t.as_json() for t in tools]
    if rng.random() < 0.5:
        text = pick(rng, OUTSIDE, split)
    else:
        kind = rng.choice(
            [k for k in tool_kinds.KINDS if k.group not in {t.kind.group for t in tools}]
        )
        text = ask(rng, split, make_tool(rng, split, kind))[0]
    return Dialogue([*start(rng), user(text), assistant(NONE_FITS)], shown, check="no_call")


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    kind = rng.random()
    if kind < 0.68:
        return one_call(rng, split)
    return two_calls(rng, split) if kind < 0.84 else no_call(rng, split)
