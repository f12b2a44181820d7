"""How an answer of the daemon is written: text to stdout, thoughts and statistics to stderr."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import click


def print_answer(chunks: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Write the answer as it comes; the last chunk, with the statistics."""
    last: Mapping[str, Any] = {}
    text = ""
    was_thinking = False
    for last in chunks:
        message = last.get("message", {})
        thinking = message.get("thinking", "")
        if thinking:
            _write_thinking(thinking)
            was_thinking = True
        text = message.get("content", "") or text
        if message.get("content"):
            if was_thinking:
                click.echo(err=True)
                was_thinking = False
            click.echo(message["content"], nl=False)
    if not text.endswith("\n"):
        click.echo()
    return last


def _write_thinking(text: str) -> None:
    dim = "NO_COLOR" not in os.environ
    click.echo(click.style(text, dim=True) if dim else text, err=True, nl=False)


def collect(chunks: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The whole answer as one object: the final chunk with the joined texts."""
    content, thinking = [], []
    last: Mapping[str, Any] = {}
    for last in chunks:
        message = last.get("message", {})
        content.append(message.get("content", ""))
        thinking.append(message.get("thinking", ""))
    message = {"role": "assistant", "content": "".join(content)}
    if any(thinking):
        message["thinking"] = "".join(thinking)
    return {**last, "message": message}


def print_dropped(final: Mapping[str, Any]) -> None:
    """Say on stderr what of the conversation the model has not seen, or not to the end."""
    dropped = final.get("truncated")
    if dropped:
        messages, tokens = dropped["dropped_messages"], dropped["dropped_tokens"]
        which = f"{messages} old messages, " if messages else ""
        click.echo(f"dropped to fit the context: {which}{tokens} tokens", err=True)


def print_stats(final: Mapping[str, Any]) -> None:
    """Counts and speed of one answer, to stderr."""
    lines = [
        f"load:    {final.get('load_duration', 0) / 1e9:.2f} s",
        "prompt:  "
        + _rate(final, "prompt_eval")
        + f", {final.get('cached_prompt_tokens', 0)} of them cached",
        "answer:  " + _rate(final, "eval") + f", ended by {final.get('done_reason', '?')}",
    ]
    draft = final.get("draft") or {}
    if draft.get("proposed"):
        lines.append(f"drafts:  {draft['accepted']} of {draft['proposed']} accepted")
    lines.append(f"total:   {final.get('total_duration', 0) / 1e9:.2f} s")
    click.echo("\n".join(lines), err=True)


def _rate(final: Mapping[str, Any], name: str) -> str:
    count = final.get(f"{name}_count", 0)
    seconds = final.get(f"{name}_duration", 0) / 1e9
    speed = f" ({count / seconds:.1f} tokens/s)" if seconds > 0 else ""
    return f"{count} tokens in {seconds:.2f} s{speed}"
