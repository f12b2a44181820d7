"""Tools: pick among one to four, fill the arguments, call two at once, use a result, or decline."""

import random
from typing import Any

from scripts.pocket.dialogue import Dialogue, Message, Split, assistant, pick, user
from scripts.pocket.skeletons import expand, fill, loosen, phrase
from scripts.pocket.skills import talk
from scripts.pocket.skills.tool_kinds import KINDS_OF, slots_of
from scripts.pocket.skills.tool_offers import Tool, draw_tools, make_tool
from scripts.pocket.skills.tool_results import result_turn
from scripts.pocket.skills.values import Value

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
