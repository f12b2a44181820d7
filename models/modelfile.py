"""Modelfiles, as Ollama has them: how to make a model from another. Pure.

    # a comment, on a line of its own
    FROM name-or-path
    PARAMETER temperature 0.2
    TEMPLATE "…"      SYSTEM "…"      LICENSE "…"      ADAPTER path      REQUIRES 0.14.0
    MESSAGE user|assistant|system …

Instructions are written in any case, in any order. A value ends with its line, unless it begins
with " or with three of them: then it ends where a line ends with the same. What is quoted is kept
as it stands, without escapes; what is not loses the blanks around it.

Source: ollama, parser/parser.go (`ParseFile`).
"""

import codecs
import re
from dataclasses import dataclass, field
from typing import Any

from models.errors import InvalidInput
from models.name import near_names
from models.parameters import FORMER, merge_parameters, parse_parameter

_INSTRUCTIONS = (
    "FROM", "PARAMETER", "TEMPLATE", "SYSTEM", "MESSAGE", "ADAPTER", "LICENSE", "REQUIRES",
    "RENDERER", "PARSER", "DRAFT",
)  # fmt: skip
_ROLES = ("system", "user", "assistant")
_LINE = re.compile(r"[ \t]*([^ \t]+)(?:[ \t]+(.*))?", re.DOTALL)
_VERSION = re.compile(r"v?\d+(?:\.\d+){0,2}(?:[-+][0-9A-Za-z.+-]+)?")


@dataclass(frozen=True)
class Modelfile:
    """What a Modelfile asks for; None where it says nothing. `notes` tell what has no effect."""

    base: str
    adapter: str | None = None
    template: str | None = None
    system: str | None = None
    licenses: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    messages: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Instruction:
    """One instruction: `name` in capitals, `key` the parameter or role, and where it begins."""

    name: str
    key: str
    value: str
    line: int


def decode_modelfile(raw: bytes) -> str:
    """The text of a Modelfile in UTF-8, or in UTF-16 with a byte order mark.

    Raises:
        InvalidInput: neither.
    """
    is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return raw.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the Modelfile is not text in UTF-8: {error}") from None


def parse_modelfile(text: str) -> Modelfile:
    """What `text` asks for.

    Raises:
        InvalidInput: naming the line, what stands there and what would be accepted.
    """
    found: dict[str, list[Instruction]] = {name: [] for name in _INSTRUCTIONS}
    for instruction in split_instructions(text):
        found[instruction.name].append(instruction)
    _check(found)
    last = {name: listed[-1].value for name, listed in found.items() if listed}
    former = [item.key for item in found["PARAMETER"] if item.key in FORMER]
    return Modelfile(
        base=last["FROM"],
        adapter=last.get("ADAPTER"),
        template=last.get("TEMPLATE"),
        system=last.get("SYSTEM"),
        licenses=tuple(item.value for item in found["LICENSE"]),
        parameters=merge_parameters(
            (item.key, _parameter(item)) for item in found["PARAMETER"] if item.key not in FORMER
        ),
        messages=tuple({"role": item.key, "content": item.value} for item in found["MESSAGE"]),
        notes=(
            *(f"parameter {name} is Ollama's of former days and has no effect" for name in former),
            *(f"{name} speaks of Ollama's own program and has no effect"
              for name in ("REQUIRES", "RENDERER", "PARSER") if found[name]),
        ),
    )  # fmt: skip


def format_modelfile(modelfile: Modelfile) -> str:
    """A text that `parse_modelfile` reads as the same, `notes` left out.

    Raises:
        InvalidInput: a text holds three quotes, which no Modelfile can.
    """
    lines = [f"FROM {_quote(modelfile.base)}"]
    named = (("ADAPTER", modelfile.adapter), ("TEMPLATE", modelfile.template))
    lines += [f"{name} {_quote(text)}" for name, text in named if text is not None]
    lines += [f"SYSTEM {_quote(modelfile.system)}"] if modelfile.system is not None else []
    for name, value in modelfile.parameters.items():
        for item in value if isinstance(value, list) else [value]:
            lines.append(f"PARAMETER {name} {_quote(_format_value(item))}")
    lines += [f"MESSAGE {turn['role']} {_quote(turn['content'])}" for turn in modelfile.messages]
    lines += [f"LICENSE {_quote(text)}" for text in modelfile.licenses]
    return "\n".join(lines) + "\n"


def _format_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quote(text: str) -> str:
    if text and text == text.strip() and not text.startswith('"') and not set(text) & set("\r\n"):
        return text
    if '"' not in text:
        return f'"{text}"'
    if '"""' in text:
        raise InvalidInput("a text with three quotes in a row cannot be written in a Modelfile")
    return f'"""{text}"""'


def split_instructions(text: str) -> list[Instruction]:
    """The instructions in order, with their values unquoted.

    Raises:
        InvalidInput: an unknown one, or one that is cut short.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    found = []
    index = 0
    while index < len(lines):
        start = index
        index += 1
        if not lines[start].strip(" \t") or lines[start].lstrip(" \t").startswith("#"):
            continue
        name, rest = _split_word(lines[start])
        name = _known(name, start + 1)
        key = ""
        if name in ("PARAMETER", "MESSAGE"):
            key, rest = _split_word(rest or "")
            _check_key(name, key, rest, start + 1)
        value = _unquote(rest or "")
        while value is None:
            if index == len(lines):
                raise _error(start + 1, f"the quotation that {name} begins does not end")
            rest = f"{rest}\n{lines[index]}"
            index += 1
            value = _unquote(rest)
        if rest is None or (not value and name in ("FROM", "ADAPTER", "PARAMETER")):
            raise _error(start + 1, f"{name} {key}".strip() + " has no value")
        found.append(Instruction(name, key, value, start + 1))
    return found


def _split_word(line: str) -> tuple[str, str | None]:
    """The first word and what follows it; None when nothing does."""
    match = _LINE.fullmatch(line)
    return (match[1], match[2]) if match else ("", None)


def _unquote(text: str) -> str | None:
    """The value that `text` writes, or None while its quotation is open."""
    text = text.strip()
    for mark in ('"""', '"'):
        if text.startswith(mark):
            is_closed = len(text) >= 2 * len(mark) and text.endswith(mark)
            return text[len(mark) : -len(mark)] if is_closed else None
    return text


def _known(word: str, line: int) -> str:
    name = word.upper()
    if name in _INSTRUCTIONS:
        return name
    near = near_names(word, _INSTRUCTIONS)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(_INSTRUCTIONS)}."
    raise _error(line, f"unknown instruction {word!r}", hint=hint)


def _check_key(name: str, key: str, rest: str | None, line: int) -> None:
    if name == "MESSAGE" and key not in _ROLES:
        raise _error(line, f"message role {key!r}: {', '.join(_ROLES)} are accepted")
    if rest is None:
        raise _error(line, f"{name} {key}".strip() + " has no value")


def _parameter(item: Instruction) -> Any:
    try:
        return parse_parameter(item.key, item.value)
    except InvalidInput as error:
        raise _error(item.line, error.message, hint=error.hint) from None


def _check(found: dict[str, list[Instruction]]) -> None:
    if not found["FROM"]:
        raise InvalidInput("no FROM line", hint="FROM names the model to begin with.")
    for name in ("FROM", "ADAPTER"):
        if len(found[name]) > 1:
            raise _error(found[name][1].line, f"a second {name}: one is accepted")
    if found["DRAFT"]:
        raise _error(found["DRAFT"][0].line, "DRAFT is not supported")
    for item in found["REQUIRES"]:
        if not _VERSION.fullmatch(item.value):
            raise _error(item.line, f"REQUIRES {item.value!r}: a version such as 0.14.0 is taken")


def _error(line: int, message: str, *, hint: str | None = None) -> InvalidInput:
    return InvalidInput(f"line {line}: {message}", hint=hint)
