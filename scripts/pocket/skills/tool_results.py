"""What tools return, and the answers that are made of it."""

import json
import random
from typing import Any

from scripts.pocket import words
from scripts.pocket.dialogue import Message, Split, assistant
from scripts.pocket.skeletons import fill
from scripts.pocket.skills.tool_offers import Tool
from scripts.pocket.skills.values import make_values

DONE = ("ok", "done", "success", "true", '{"ok": true}', '{"status": "ok"}', '{"success": true}')
ERRORS = ("not found", "no connection", "access denied", "timeout", "invalid value", "out of stock")
RESULTS = (
    *(("temperature", "signed"), ("sky", "sky"), ("price", "integer 1 900"), ("status", "status")),
    *(("time", "clock"), ("name", "person"), ("result", "word"), ("id", "code"), ("date", "date")),
    *(("count", "count"), ("city", "city"), ("value", "decimal"), ("total", "integer 1 5000")),
    *(("color", "color"), ("message", "phrase"), ("distance", "integer 1 900"), ("email", "email")),
    *(("owner", "person"), ("title", "title"), ("humidity", "integer 0 100"), ("phone", "phone")),
)


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
