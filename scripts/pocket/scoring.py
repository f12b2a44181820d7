"""Whether an answer is right, by the rule that its dialogue names."""

import json
import re
from typing import Any

from scripts.pocket.dialogue import Dialogue, Message


def made_calls(message: Message) -> list[tuple[str, Any]]:
    """Name and arguments of each call, in order."""
    functions = [call["function"] for call in message.get("tool_calls") or []]
    return [(f["name"], f["arguments"]) for f in functions]


def parse_object(text: str) -> Any:
    """The JSON value of `text`, or None."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def is_right(dialogue: Dialogue, reply: Message) -> bool:
    """Judges an assistant message with `content` and perhaps `tool_calls`."""
    wanted, got = dialogue.answer["content"], reply["content"].strip()
    called = bool(reply.get("tool_calls"))
    match dialogue.check:
        case "exact":
            return bool(got == wanted.strip()) and not called
        case "one_of":
            return got in dialogue.must and not called
        case "contains":
            return all(part in got for part in dialogue.must) and not called
        case "matches":
            return all(re.search(form, got, re.DOTALL) for form in dialogue.must) and not called
        case "json":
            return bool(parse_object(got) == json.loads(wanted))
        case "calls":
            return made_calls(reply) == made_calls(dialogue.answer)
        case "no_call":
            return got != "" and not called
