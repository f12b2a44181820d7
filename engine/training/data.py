"""Reads JSONL examples for fine-tuning and marks the tokens that are learned.

A line is `{"messages": [...]}` (all assistant turns are learned), `{"prompt", "completion"}` (the
completion is) or `{"text"}` (everything is).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.text.chat_template import ChatTemplate
from engine.tokenizer import Tokenizer
from models.errors import InvalidInput, NotFound

ACCEPTED = '{"messages": [...]}, {"prompt": ..., "completion": ...} or {"text": ...}'


@dataclass(frozen=True)
class Example:
    """One sequence; `is_target[i]` says whether token i is learned from those before it."""

    token_ids: tuple[int, ...]
    is_target: tuple[bool, ...]


def read_examples(
    path: Path, tokenizer: Tokenizer, template: ChatTemplate, max_tokens: int
) -> list[Example]:
    """All examples of a file, each cut to `max_tokens`.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a line is not one of the accepted forms; the message names it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise NotFound(f"{path}: no such file") from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise InvalidInput(f"{path}: not a text file: {error}") from None
    examples = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        pieces = _parse_line(line, f"{path}, line {number}", template)
        example = _encode(pieces, tokenizer, max_tokens)
        if any(example.is_target):
            examples.append(example)
    if not examples:
        raise InvalidInput(f"{path}: no examples in it", hint=f"one JSON object a line: {ACCEPTED}")
    return examples


def _parse_line(line: str, where: str, template: ChatTemplate) -> list[tuple[str, bool]]:
    """The example as pieces of text, each learned or not."""
    try:
        item = json.loads(line)
    except ValueError as error:
        raise InvalidInput(f"{where}: not JSON: {error}") from None
    match item:
        case {"messages": list(messages)} if messages:
            return _chat_pieces(messages, where, template)
        case {"prompt": str(prompt), "completion": str(completion)}:
            return _chat_pieces(
                [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}],
                where,
                template,
            )
        case {"text": str(text)}:
            return [(text, True)]
    raise InvalidInput(f"{where}: not an example", hint=f"accepted: {ACCEPTED}")


def _chat_pieces(messages: list[Any], where: str, template: ChatTemplate) -> list[tuple[str, bool]]:
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidInput(f"{where}: a message needs a role and content, not {message!r:.80}")
    pieces: list[tuple[str, bool]] = []
    done = ""
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = template.render(messages[:i], add_generation_prompt=True)
        after = template.render(messages[: i + 1], add_generation_prompt=False)
        if not (before.startswith(done) and after.startswith(before)):
            raise InvalidInput(
                f"{where}: the chat template does not keep earlier turns as they are",
                hint="give each assistant turn a line of its own",
            )
        pieces += [(before[len(done) :], False), (after[len(before) :], True)]
        done = after
    if not pieces:
        raise InvalidInput(f"{where}: no assistant message to learn from")
    return pieces


def _encode(pieces: list[tuple[str, bool]], tokenizer: Tokenizer, max_tokens: int) -> Example:
    token_ids: list[int] = []
    is_target: list[bool] = []
    for i, (text, learned) in enumerate(pieces):
        ids = tokenizer.encode(text, add_special=i == 0)
        token_ids += ids
        is_target += [learned] * len(ids)
    return Example(tuple(token_ids[:max_tokens]), tuple(is_target[:max_tokens]))
