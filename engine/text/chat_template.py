"""From a conversation to the text a model was trained to continue, by the model's own template."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from jinja2 import meta
from jinja2.exceptions import TemplateError

from engine.text.template_limits import TemplateRunsAway
from engine.text.template_sandbox import ChatEnvironment, render
from models.errors import InvalidInput, InvalidModelFile

Message = dict[str, Any]

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_THINKING_VARIABLES = frozenset(
    {"enable_thinking", "thinking", "reasoning_effort", "thinking_budget", "thinking_mode"}
)
_FAILURES = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class ChatTemplate:
    """One model's template; `is_fallback` says that the model has none and ChatML stands in."""

    def __init__(
        self,
        source: str | None,
        *,
        bos_token: str = "",
        eos_token: str = "",
        tool_source: str | None = None,
    ) -> None:
        self.is_fallback = source is None
        self.source = CHATML if source is None else source
        self._tool_source = tool_source
        self._special = {"bos_token": bos_token, "eos_token": eos_token}

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool | str | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The prompt. `thinking`: on, off, an effort such as "low", or None for the model's way.

        Raises:
            InvalidInput: the template refuses these messages, is broken or runs away.
        """
        variables = {
            **self._special,
            **_thinking_variables(thinking),
            **variables,
            "tools": list(tools) if tools else None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        template = self._tool_template if tools else self._template
        given = [_tidy(message) for message in messages]
        first_failure: Exception | None = None
        for repair in (_as_given, _without_system, _with_text_arguments):
            given = repair(given)
            try:
                return render(template, {**variables, "messages": given})
            except TemplateRunsAway as failure:
                raise InvalidInput(f"the model's chat template runs away: {failure}") from failure
            except _FAILURES as failure:
                first_failure = first_failure or failure
        raise InvalidInput(
            f"the model's chat template refuses this conversation: {first_failure}",
            hint="Let user and assistant take turns, after at most one system turn.",
        ) from first_failure

    @cached_property
    def supports_tools(self) -> bool:
        """Whether the template has a place for tools."""
        return "tools" in self._variables(self._tool_source or self.source)

    @cached_property
    def supports_thinking(self) -> bool:
        """Whether the model thinks before it answers."""
        return bool(self._variables(self.source) & _THINKING_VARIABLES) or "<think>" in self.source

    @cached_property
    def _template(self) -> Any:
        return _compile(self.source)

    @cached_property
    def _tool_template(self) -> Any:
        return _compile(self._tool_source or self.source)

    @staticmethod
    def _variables(source: str) -> set[str]:
        try:
            return meta.find_undeclared_variables(ChatEnvironment().parse(source))
        except TemplateError:
            return set()


def _compile(source: str) -> Any:
    try:
        return ChatEnvironment().from_string(source)
    except (TemplateError, RecursionError, MemoryError, SyntaxError) as error:
        raise InvalidModelFile(f"the model's chat template cannot be parsed: {error}") from error


def _thinking_variables(thinking: bool | str | None) -> dict[str, Any]:
    """The switch under every name that templates use for it."""
    if thinking is None:
        return {}
    enabled = thinking not in (False, "none", "off")
    switch: dict[str, Any] = {
        "enable_thinking": enabled,
        "thinking": enabled,
        "thinking_mode": "enabled" if enabled else "disabled",
    }
    if isinstance(thinking, str) and enabled:
        switch["reasoning_effort"] = thinking
    elif not enabled:
        switch.update(reasoning_effort="low", thinking_budget=0)
    return switch


def _tidy(message: Message) -> Message:
    """Text parts joined, call arguments as objects, thinking under the names templates read."""
    tidy = dict(message)
    content = tidy.get("content")
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" for part in content
    ):
        tidy["content"] = "\n".join(str(part.get("text", "")) for part in content)
    names = ("reasoning_content", "thinking", "reasoning")
    thought = next((tidy[name] for name in names if tidy.get(name) is not None), None)
    if thought is not None:
        tidy = {"thinking": thought, **tidy, "reasoning_content": thought}
    if tidy.get("tool_calls"):
        tidy["tool_calls"] = [_with_arguments(call, _parsed) for call in tidy["tool_calls"]]
    return tidy


def _with_arguments(call: Any, change: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or "arguments" not in function:
        return call
    return {**call, "function": {**function, "arguments": change(function["arguments"])}}


def _parsed(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        return arguments


def _as_given(messages: list[Message]) -> list[Message]:
    return messages


def _without_system(messages: list[Message]) -> list[Message]:
    """For templates that know no system turn: its text in front of the first user turn."""
    if len(messages) < 2 or messages[0].get("role") not in ("system", "developer"):
        return messages
    if messages[1].get("role") != "user":
        return messages
    text = f"{messages[0].get('content', '')}\n\n{messages[1].get('content', '')}"
    return [{**messages[1], "content": text}, *messages[2:]]


def _with_text_arguments(messages: list[Message]) -> list[Message]:
    """For templates that paste call arguments as text, and those that need a content."""

    def text(arguments: Any) -> str:
        return arguments if isinstance(arguments, str) else json.dumps(arguments)

    changed = []
    for message in messages:
        calls = [_with_arguments(call, text) for call in message.get("tool_calls") or []]
        fresh = {**message, "content": message.get("content") or ""}
        changed.append({**fresh, "tool_calls": calls} if calls else fresh)
    return changed
