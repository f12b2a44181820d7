"""The ways models write tool calls: each parser turns the text between two marks into calls.

A parser returns None when the text is not what it should be; nothing here raises.
"""

import ast
import json
import re
from collections.abc import Iterable
from typing import Any

from engine.text.call_parts import ARGUMENT_KEYS, NAME_KEYS

Calls = list[tuple[str, dict[str, Any]]]
"""(function name, arguments)."""

_FUNCTION_BLOCK = re.compile(r"<function=([^>\s]+)>(.*?)(?:</function>|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>\s]+)>(.*?)</parameter>", re.DOTALL)
_INVOKE = re.compile(r'invoke name="([^"]+)">(.*?)</[^>]*invoke>', re.DOTALL)
_INVOKE_PARAMETER = re.compile(r'parameter name="([^"]+)"([^>]*)>(.*?)</[^>]*parameter>', re.DOTALL)
_GLM_ARGUMENT = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_GEMMA_CALL = re.compile(r"call:([\w.\-]+)(\{.*)\Z", re.DOTALL)
_BARE_KEY = re.compile(r"([{,]\s*)([A-Za-z_][\w\-]*)\s*:")
_FENCE = re.compile(r"\A```\w*\s*|\s*```\Z")
_NAME = re.compile(r"[\w.\-:/]+")


def parse_json_calls(text: str) -> Calls | None:
    """One or more objects with a name and arguments, or lists of them."""
    decoder = json.JSONDecoder(strict=False)
    calls: Calls = []
    rest = text.strip()
    while rest:
        try:
            value, end = decoder.raw_decode(rest)
        except (ValueError, RecursionError):
            return None
        for item in value if isinstance(value, list) else [value]:
            call = _call_of(item)
            if call is None:
                return None
            calls.append(call)
        rest = rest[end:].lstrip(" \n\r\t;,")
    return calls or None


def _call_of(item: Any) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(item, dict):
        return None
    if isinstance(item.get("function"), dict):
        item = item["function"]
    name = next((item[key] for key in NAME_KEYS if isinstance(item.get(key), str)), None)
    arguments: Any = next((item[key] for key in ARGUMENT_KEYS if key in item), {})
    if isinstance(arguments, str):
        arguments = value_of(arguments)
    if name is None or not isinstance(arguments, dict):
        return None
    return name, arguments


def parse_tagged_calls(text: str) -> Calls | None:
    """What stands in <tool_call>: JSON (Hermes, Qwen), XML (Qwen3-Coder) or pairs (GLM)."""
    return parse_json_calls(text) or parse_function_blocks(text) or _parse_glm(text)


def parse_function_blocks(text: str) -> Calls | None:
    """`<function=name>` with JSON or `<parameter=key>value</parameter>` inside."""
    calls: Calls = []
    for name, body in _FUNCTION_BLOCK.findall(text):
        found = _PARAMETER.findall(body)
        if found or not body.strip():
            calls.append((name, _first((key, inner_value(value)) for key, value in found)))
            continue
        arguments = value_of(body.strip())
        if not isinstance(arguments, dict):
            return None
        calls.append((name, arguments))
    return calls or None


def _parse_glm(text: str) -> Calls | None:
    """`name`, then <arg_key> and <arg_value> in turn."""
    name = text.split("<arg_key>", 1)[0].strip()
    if not _NAME.fullmatch(name):
        return None
    pairs = _GLM_ARGUMENT.findall(text)
    return [(name, _first((key.strip(), value_of(value)) for key, value in pairs))]


def parse_invocations(text: str) -> Calls | None:
    """`<invoke name="...">` with `<parameter name="...">` inside, with any prefix on the tags."""
    calls: Calls = []
    for name, body in _INVOKE.findall(text):
        pairs = _INVOKE_PARAMETER.findall(body)
        calls.append((name, _first((pair[0], attributed_value(*pair[1:])) for pair in pairs)))
    return calls or None


def parse_mistral_calls(text: str) -> Calls | None:
    """A JSON list, or `name[ARGS]{...}` once or more."""
    calls: Calls = []
    for part in text.split("[TOOL_CALLS]"):
        name, mark, arguments = part.partition("[ARGS]")
        if mark:
            value = value_of(arguments.strip())
            if not isinstance(value, dict):
                return None
            calls.append((name.split("[CALL_ID]")[0].strip(), value))
        elif part.strip():
            found = parse_json_calls(part)
            if found is None:
                return None
            calls += found
    return calls or None


def parse_deepseek_calls(text: str) -> Calls | None:
    """`name<sep>{...}`, or `function<sep>name` with the arguments in a fenced block."""
    calls: Calls = []
    for part in re.split(r"<｜tool▁call▁(?:begin|end)｜>", text):  # noqa: RUF001
        if not part.strip():
            continue
        name, mark, rest = part.partition("<｜tool▁sep｜>")  # noqa: RUF001
        if name.strip() == "function":
            name, _, rest = rest.partition("\n")
        arguments = value_of(_FENCE.sub("", rest.strip()))
        if not mark or not isinstance(arguments, dict):
            return None
        calls.append((name.strip(), arguments))
    return calls or None


def parse_kimi_calls(text: str) -> Calls | None:
    """`functions.name:0<|tool_call_argument_begin|>{...}`."""
    calls: Calls = []
    for part in re.split(r"<\|tool_call_(?:begin|end)\|>", text):
        if not part.strip():
            continue
        name, mark, rest = part.partition("<|tool_call_argument_begin|>")
        arguments = value_of(rest.strip())
        if not mark or not isinstance(arguments, dict):
            return None
        name = name.strip().removeprefix("functions.")
        calls.append((re.sub(r":\d+\Z", "", name), arguments))
    return calls or None


def parse_python_calls(text: str) -> Calls | None:
    """`[f(a="x"), g(b=1)]`, one call, or `name.call(a="x")`."""
    try:
        tree = ast.parse(_FENCE.sub("", text.strip()), mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
        return [_python_call(node) for node in nodes] or None
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return None


def _python_call(node: ast.expr) -> tuple[str, dict[str, Any]]:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with named arguments")
    name = ast.unparse(node.func).removesuffix(".call")
    arguments = {str(item.arg): ast.literal_eval(item.value) for item in node.keywords}
    return name, arguments


def parse_python_or_json_calls(text: str) -> Calls | None:
    """After Llama's <|python_tag|>: JSON, or a call of a built-in tool."""
    return parse_json_calls(text) or parse_python_calls(text)


def parse_gemma_calls(text: str) -> Calls | None:
    """`call:name{key:<escape>text<escape>,other:1}`; Gemma 4 quotes text with <|"|>."""
    match = _GEMMA_CALL.match(text.strip())
    if match is None:
        return None
    quote = '<|"|>' if '<|"|>' in text else "<escape>"
    parts = match[2].split(quote)
    built = "".join(
        json.dumps(part) if index % 2 else _BARE_KEY.sub(r'\1"\2":', part)
        for index, part in enumerate(parts)
    )
    arguments = value_of(built)
    return [(match[1], arguments)] if isinstance(arguments, dict) else None


def _first(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that comes twice, the value that came first."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        found.setdefault(key, value)
    return found


def inner_value(text: str) -> Any:
    """A value between tags that stand on lines of their own."""
    return value_of(text.removeprefix("\n").removesuffix("\n"))


def attributed_value(attributes: str, text: str) -> Any:
    """A value whose tag may say that it is text."""
    return text if 'string="true"' in attributes else value_of(text)


def value_of(text: str) -> Any:
    """JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return text
