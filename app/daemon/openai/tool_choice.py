"""What OpenAI's `tool_choice` and its kin mean for the tools of a request. Pure."""

import json
from typing import Any

from app.daemon.fields import Fields, Json
from models.errors import InvalidInput


def choose_tools(fields: Fields, tools: list[Json], choice: Any) -> Json:
    """The tools that may be called, whether one must be, and whether several may be.

    A named choice leaves one tool, "none" leaves none.
    """
    parallel_calls = fields.flag("parallel_tool_calls", default=True)
    if choice == "none":
        return {"tools": []}
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools") or choice
        names = [_named(each) for each in allowed.get("tools") or ()]
        tools = [tool for tool in tools if _named(tool) in names]
        choice = allowed.get("mode", "auto")
    if isinstance(choice, dict):
        tools = [tool for tool in tools if _named(tool) == _named(choice)]
        if not tools:
            raise InvalidInput(f"tool_choice names {_named(choice)!r}, which is not in tools")
        choice, parallel_calls = "required", False
    if choice not in (None, "auto", "required"):
        raise InvalidInput(
            f'invalid tool_choice: {json.dumps(choice)} (must be "auto", "none", "required"'
            " or a named function)"
        )
    if choice == "required" and not tools:
        raise InvalidInput("tool_choice requires a call, but tools is empty")
    must_call = choice == "required"
    return {"tools": tools, "must_call": must_call, "parallel_calls": parallel_calls}


def _named(tool: Json) -> Any:
    function = tool.get("function")
    return (function if isinstance(function, dict) else tool).get("name")
