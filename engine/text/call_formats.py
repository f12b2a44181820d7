"""The known formats of tool calls: their marks, their parsers, and how they are followed."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from engine.text.call_parts import Begin, NamedParts, ObjectParts, PartsReader
from engine.text.output_parser_calls import (
    Calls,
    attributed_value,
    inner_value,
    parse_deepseek_calls,
    parse_function_blocks,
    parse_gemma_calls,
    parse_invocations,
    parse_json_calls,
    parse_kimi_calls,
    parse_mistral_calls,
    parse_python_calls,
    parse_python_or_json_calls,
    parse_tagged_calls,
    value_of,
)

_OBJECT = re.compile(r"\s*\[?\s*\{")


def _only_whole(text: str) -> PartsReader | None:
    """Calls that are known at their end alone."""
    del text
    return None


def _objects(text: str) -> PartsReader | None:
    return ObjectParts() if _OBJECT.match(text) else None


def _functions(text: str) -> PartsReader | None:
    del text
    pair = r"<parameter=([^>\s]+)>(.*?)</parameter>"
    inner = lambda found: inner_value(found[2])  # noqa: E731
    return NamedParts(r"<function=([^>\s]+)>", "<parameter=", pair, inner)


def _tagged(text: str) -> PartsReader | None:
    start = text.lstrip()[:1]
    if start in ("", "{", "["):
        return _objects(text)
    if start == "<":
        return _functions(text)
    pair = r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>"
    name = r"\A\s*([\w.\-:/]+)\s*?(?=\n|<arg_key>)"
    return NamedParts(name, "<arg_key>", pair, lambda found: value_of(found[2]))


def _invocations(text: str) -> PartsReader | None:
    del text
    pair = r'parameter name="([^"]+)"([^>]*)>(.*?)</[^>]*parameter>'
    name = r'invoke name="([^"]+)">'
    return NamedParts(
        name, 'parameter name="', pair, lambda found: attributed_value(found[2], found[3])
    )


def _mistral(text: str) -> PartsReader | None:
    if text.lstrip()[:1] in ("", "["):
        return _objects(text)
    return NamedParts(r"([\w.\-:/]+)\s*(?:\[CALL_ID\][^\[]*)?\[ARGS\]")


def _deepseek(text: str) -> PartsReader | None:
    del text
    mark = "<｜tool▁sep｜>"  # noqa: RUF001
    return NamedParts(rf"function{mark}(\S+)\n\s*```\w*|([^\s<>]+){mark}(?=\s*\{{)")


def _kimi(text: str) -> PartsReader | None:
    del text
    return NamedParts(r"(?:functions\.)?([\w.\-]+?)(?::\d+)?\s*<\|tool_call_argument_begin\|>")


@dataclass(frozen=True)
class CallFormat:
    """Calls stand between `start` and `end`; an empty `end` is the end of the output."""

    start: str
    end: str
    parse: Callable[[str], Calls | None]
    begin: Begin = _only_whole


FORMATS = (
    CallFormat("<tool_call>", "</tool_call>", parse_tagged_calls, _tagged),
    CallFormat("<|tool_call|>", "<|/tool_call|>", parse_json_calls, _objects),
    CallFormat("<tool_calls>", "</tool_calls>", parse_json_calls, _objects),
    CallFormat("<TOOLCALL>", "</TOOLCALL>", parse_json_calls, _objects),
    CallFormat("<seed:tool_call>", "</seed:tool_call>", parse_function_blocks, _functions),
    CallFormat("<minimax:tool_call>", "</minimax:tool_call>", parse_invocations, _invocations),
    CallFormat(
        "<｜DSML｜function_calls>",  # noqa: RUF001
        "</｜DSML｜function_calls>",  # noqa: RUF001
        parse_invocations,
        _invocations,
    ),
    CallFormat("<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", parse_invocations, _invocations),  # noqa: RUF001
    CallFormat("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", parse_deepseek_calls, _deepseek),  # noqa: RUF001
    CallFormat(
        "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", parse_kimi_calls, _kimi
    ),
    CallFormat("<|START_ACTION|>", "<|END_ACTION|>", parse_json_calls, _objects),
    CallFormat("<|tool_call_start|>", "<|tool_call_end|>", parse_python_or_json_calls, _objects),
    CallFormat("<start_function_call>", "<end_function_call>", parse_gemma_calls),
    CallFormat("<|tool_call>", "<tool_call|>", parse_gemma_calls),
    CallFormat("```tool_code", "```", parse_python_calls),
    CallFormat("[TOOL_CALLS]", "", parse_mistral_calls, _mistral),
    CallFormat("<|python_tag|>", "", parse_python_or_json_calls, _objects),
    CallFormat("functools[", "", lambda text: parse_json_calls("[" + text), _objects),
)
"""Known formats; a template that mentions `start` (or its tag without the prefix) uses one."""
