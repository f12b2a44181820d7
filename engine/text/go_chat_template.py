"""Conversations through Ollama's templates: what these are given, and how often they are run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from engine.text.chat_template import ChatTemplate, Message
from engine.text.go_template import Struct, run_go_template
from models.go_template import parse_go_template
from models.go_template_nodes import Action, Branch, Field, Node, Pipeline, identifiers

_RESPONSE = Action(Pipeline(Field(("Response",))))
_PARAMETERS = {"type": "Type", "$defs": "Defs", "items": "Items", "required": "Required"}
_PROPERTY = {
    "anyOf": "AnyOf",
    "type": "Type",
    "items": "Items",
    "description": "Description",
    "enum": "Enum",
    "properties": "Properties",
    "required": "Required",
}


class GoChatTemplate(ChatTemplate):
    """A template with `.Messages` is run once; one with `.Prompt` and `.Response` for each turn."""

    def __init__(self, source: str) -> None:
        super().__init__(source)
        nodes = parse_go_template(source)
        self._names = identifiers(nodes)
        is_open = not self._names & {"messages", "response"}
        self._nodes = (*nodes, _RESPONSE) if is_open else nodes

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool | str | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """See ChatTemplate.render; these templates see by the last message how they have to end."""
        del add_generation_prompt, variables
        system, collated = _collate(messages)
        switch = {
            "Think": bool(thinking) and thinking not in ("none", "off"),
            "ThinkLevel": thinking if isinstance(thinking, str) else "",
            "IsThinkSet": thinking is not None,
        }
        if "messages" in self._names:
            data = {
                "System": system,
                "Messages": [_message(each) for each in collated],
                "Tools": [_tool(each) for each in tools or ()],
                "Response": "",
            }
            return run_go_template(self._nodes, data | switch)
        *turns, last = _turns(collated)
        before = "".join(run_go_template(self._nodes, turn | switch) for turn in turns)
        return before + run_go_template(_up_to_response(self._nodes)[0], last | switch)

    @cached_property
    def supports_tools(self) -> bool:
        """Whether the template has a place for tools."""
        return "tools" in self._names

    @cached_property
    def supports_thinking(self) -> bool:
        """Whether the model thinks before it answers."""
        return "thinking" in self._names or "<think>" in self.source


def _collate(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """All system prompts as one, and the messages, those of one role in a row as one."""
    collated: list[Message] = []
    for message in messages:
        if collated and collated[-1]["role"] == message["role"] != "tool":
            joined = f"{collated[-1].get('content') or ''}\n\n{message.get('content') or ''}"
            collated[-1] = {**collated[-1], "content": joined}
        else:
            collated.append(message)
    systems = [str(each.get("content") or "") for each in messages if each["role"] == "system"]
    return "\n\n".join(systems), collated


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    """What the template is run with, one after the other; the last is the one to be answered."""
    turns = [{"System": "", "Prompt": "", "Response": ""}]
    for message in messages:
        turn, role = turns[-1], message["role"]
        is_over = {"system": turn["Prompt"] or turn["Response"], "user": turn["Response"]}
        if is_over.get(role):
            turn = {"System": "", "Prompt": "", "Response": ""}
            turns.append(turn)
        name = {"system": "System", "user": "Prompt", "assistant": "Response"}.get(role)
        if name is not None:
            turn[name] = str(message.get("content") or "")
    return turns


def _up_to_response(nodes: Sequence[Node]) -> tuple[tuple[Node, ...], bool]:
    """The template without what comes behind its first `.Response`, and whether there is one."""
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, Action) and "response" in identifiers((node,)):
            return (*kept, node), True
        if isinstance(node, Branch):
            body, is_cut = _up_to_response(node.body)
            otherwise: tuple[Node, ...] = ()
            if not is_cut:
                otherwise, is_cut = _up_to_response(node.otherwise)
            kept.append(replace(node, body=body, otherwise=otherwise))
            if is_cut:
                return tuple(kept), True
            continue
        kept.append(node)
    return tuple(kept), False


def _message(message: Message) -> Struct:
    fields = {
        "Role": message["role"],
        "Content": message.get("content") or "",
        "Thinking": message.get("thinking") or "",
        "ToolCalls": [_call(*each) for each in enumerate(message.get("tool_calls") or ())],
        "ToolName": message.get("tool_name") or "",
        "ToolCallID": message.get("tool_call_id") or "",
        "Images": [],
    }
    names = {"Role": "role", "Content": "content", "ToolCalls": "tool_calls"}
    return Struct(fields, {names[key]: fields[key] for key in names if fields[key]})


def _call(index: int, call: Mapping[str, Any]) -> Struct:
    function = call["function"]
    name, arguments = function["name"], function.get("arguments") or {}
    inner = Struct(
        {"Index": index, "Name": name, "Arguments": arguments},
        {"index": index, "name": name, "arguments": arguments},
    )
    call_id = call.get("id") or ""
    head = {"id": call_id} if call_id else {}
    return Struct({"ID": call_id, "Function": inner}, {**head, "function": inner})


def _tool(tool: Mapping[str, Any]) -> Struct:
    function = tool.get("function") or tool
    schema = function.get("parameters") or {}
    properties = {name: _property(each) for name, each in (schema.get("properties") or {}).items()}
    parameters = _struct({"type": "object", **schema}, _PARAMETERS)
    parameters = Struct(
        {**parameters.fields, "Properties": properties},
        {**parameters.json, "properties": properties},
    )
    name, description = function["name"], function.get("description") or ""
    head = {"name": name} | ({"description": description} if description else {})
    inner = Struct(
        {"Name": name, "Description": description, "Parameters": parameters},
        {**head, "parameters": parameters},
    )
    kind = tool.get("type") or "function"
    return Struct({"Type": kind, "Function": inner}, {"type": kind, "function": inner})


def _property(schema: Any) -> Struct:
    found = dict(schema) if isinstance(schema, Mapping) else {}
    if isinstance(found.get("type"), list) and len(found["type"]) == 1:
        (found["type"],) = found["type"]
    if isinstance(found.get("properties"), Mapping):
        found["properties"] = {k: _property(v) for k, v in found["properties"].items()}
    if isinstance(found.get("anyOf"), list):
        found["anyOf"] = [_property(each) for each in found["anyOf"]]
    return _struct(found, _PROPERTY)


def _struct(values: Mapping[str, Any], names: Mapping[str, str]) -> Struct:
    """Fields in the order of Go's type; those that are empty are not in its JSON."""
    json = {name: values[name] for name in names if values.get(name)}
    return Struct({go: values.get(name) or "" for name, go in names.items()}, json)
