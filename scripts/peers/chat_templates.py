"""What transformers renders of every template in a folder, for scripts/check_templates.py."""

import argparse
import json
from pathlib import Path
from typing import Any

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name <&'é\"\\"},
                    "unit": {"type": "string", "enum": ["c", "f"]},
                    "days": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["city"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "now",
            "description": "The time",
            "parameters": {"type": "object", "properties": {}},
        },
    },
]


def said(role: str, content: Any) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content}


def call(name: str, arguments: dict[str, Any], call_id: str) -> dict[str, Any]:
    """One tool call of an answer."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


WEATHER = call("get_weather", {"city": "Bern", "days": [1, 2], "unit": None}, "abcdefghi")
CALLS = {"role": "assistant", "content": "", "tool_calls": [WEATHER]}
BOTH = {**CALLS, "tool_calls": [WEATHER, call("now", {}, "123456789")]}
RESULT = {"role": "tool", "tool_call_id": "abcdefghi", "name": "get_weather", "content": '{"t": 9}'}
TIME = {"role": "tool", "tool_call_id": "123456789", "name": "now", "content": "12:00"}
THOUGHT = {"role": "assistant", "content": "9 degrees", "reasoning_content": "It is cold."}
ASKED, MORE = said("user", "Weather?"), said("user", "Möre 👩‍👩‍👧\n\n ")
SYSTEM = said("system", "Be brief. {{ not a template }} {% nor this %}")

THINKING: dict[str, Any] = {
    "enable_thinking": True,
    "thinking": True,
    "thinking_mode": "enabled",
}
SILENT: dict[str, Any] = {
    "enable_thinking": False,
    "thinking": False,
    "thinking_mode": "disabled",
    "reasoning_effort": "low",
    "thinking_budget": 0,
}
"""The switch under the names that templates know it by."""

CASES: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    "user": ([said("user", "Hi")], {}),
    "system": ([SYSTEM, said("user", "Hi")], {}),
    "turns": ([said("user", "Hi"), said("assistant", "Hello é"), MORE], {}),
    "many turns": ([SYSTEM, *[ASKED, said("assistant", " 9 ")] * 3, MORE], {}),
    "parts": ([said("user", [{"type": "text", "text": "Hi"}])], {}),
    "tools": ([ASKED], {"tools": TOOLS}),
    "tools and system": ([SYSTEM, ASKED], {"tools": TOOLS}),
    "call": ([ASKED, CALLS, RESULT], {"tools": TOOLS}),
    "two calls": ([ASKED, BOTH, RESULT, TIME], {"tools": TOOLS}),
    "turns with calls": (
        [SYSTEM, ASKED, CALLS, RESULT, said("assistant", "9 degrees"), MORE],
        {"tools": TOOLS},
    ),
    "thought": ([ASKED, THOUGHT, MORE], {}),
    "thought with calls": (
        [ASKED, {**CALLS, "reasoning_content": "Ask."}, RESULT],
        {"tools": TOOLS},
    ),
    "thinking": ([said("user", "Hi")], THINKING),
    "no thinking": ([said("user", "Hi")], SILENT),
    "thinking with tools": ([SYSTEM, ASKED], {"tools": TOOLS, **THINKING}),
    "to be ended": ([said("user", "Hi"), said("assistant", "Yes")], {"generate": False}),
}


def main() -> None:
    """Print {template: {case: text, or null where transformers refuses}}."""
    from transformers.utils.chat_template_utils import render_jinja_template

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("templates", type=Path)
    found: dict[str, dict[str, str | None]] = {}
    for path in sorted(parser.parse_args().templates.glob("*.jinja")):
        found[path.stem] = {}
        for name, (messages, more) in CASES.items():
            options = dict(more)
            try:
                texts = render_jinja_template(
                    conversations=[json.loads(json.dumps(messages))],
                    tools=options.pop("tools", None),
                    chat_template=path.read_text(),
                    add_generation_prompt=options.pop("generate", True),
                    bos_token="<s>",
                    eos_token="</s>",
                    **options,
                )[0]
            except Exception:  # noqa: BLE001 - a template may raise anything
                found[path.stem][name] = None
            else:
                found[path.stem][name] = texts[0]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
