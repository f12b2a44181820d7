"""Finds the parser that splits a model's answers into thinking, content and tool calls."""

from typing import Protocol

from engine.text.call_formats import FORMATS, CallFormat
from engine.text.output_parser_harmony import HarmonyParser
from engine.text.output_parser_tags import TagParser
from engine.text.output_pieces import CallPart, Content, Piece, Thinking, ToolCall

__all__ = [
    "CallPart",
    "Content",
    "OutputParser",
    "Piece",
    "Thinking",
    "ToolCall",
    "make_output_parser",
]


class OutputParser(Protocol):
    """One answer's text, piece by piece."""

    marks: frozenset[str]
    """Control tokens whose names the parser must see in the text."""

    def feed(self, text: str) -> list[Piece]:
        """The pieces that `text` completes."""

    def finish(self) -> list[Piece]:
        """What was held back, at the end of the answer."""


THINKING_TAGS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<thinking>", "</thinking>"),
)


def opens_thinking(prompt: str) -> bool:
    """Whether a rendered prompt ends inside a thinking block, so that the answer begins there."""
    end = prompt.rstrip()
    return any(end.endswith(start.rstrip()) for start, _ in THINKING_TAGS)


def thinking_tags(template_source: str) -> tuple[str, str] | None:
    """The marks around this model's thinking."""
    for start, end in THINKING_TAGS:
        if start.rstrip() in template_source or end in template_source:
            return start, end
    return None


def call_formats(template_source: str) -> tuple[CallFormat, ...]:
    """The ways this model writes calls; Hermes' where the template does not show any."""
    found = tuple(form for form in FORMATS if form.start in template_source)
    dsml = "\uff5cDSML\uff5c" in template_source
    found += tuple(form for form in FORMATS if dsml and "DSML" in form.start and form not in found)
    return found or FORMATS[:1]


def make_output_parser(
    template_source: str, *, thinking_open: bool = False, has_tools: bool = True
) -> OutputParser:
    """The parser for a model, by its chat template.

    `thinking_open`: the prompt ends inside a thinking block (see `opens_thinking`).
    `has_tools`: the model was given tools; else what looks like a call is content.
    """
    if "<|channel|>" in template_source and "<|message|>" in template_source:
        return HarmonyParser()
    thinking = thinking_tags(template_source)
    if thinking is None and thinking_open:
        thinking = THINKING_TAGS[0]
    llama = "<|start_header_id|>" in template_source and '"parameters"' in template_source
    return TagParser(
        thinking=thinking,
        formats=call_formats(template_source) if has_tools else (),
        thinking_open=thinking_open,
        bare_json_calls=llama and has_tools,
    )
