"""Tells Go's template language, which Ollama's models are written for, from Jinja. Pure."""

import re

from models.errors import InvalidInput
from models.go_template import parse_go_template

_GO_ACTION = re.compile(
    r"\{\{-?\s*(?:\.|\$|if\s+(?:\.|\$|or\b|and\b|not\b|eq\b|ne\b|gt\b|lt\b|len\b|\()"
    r"|[A-Za-z]\w*\s+(?:\.[A-Z]|\$)|range\b|with\b|end\s*-?\}\}|else\b|define\b|template\b|block\b|slice\b|json\b)"
)


def is_go_template(text: str) -> bool:
    """`text` is a template of Ollama's own kind.

    >>> is_go_template("{{ if .System }}{{ .System }}{{ end }}")
    True
    >>> is_go_template("{% for message in messages %}{{ message.content }}{% endfor %}")
    False
    """
    return "{%" not in text and _GO_ACTION.search(text) is not None


def why_unusable(text: str) -> str | None:
    """What a template in Go's language uses that is not known here; None where it can be used."""
    try:
        parse_go_template(text)
    except InvalidInput as error:
        return error.message
    return None


def effective_template(stored: str | None, own: str | None) -> str | None:
    """The template that will be used: what is stored with the name, unless it cannot be.

    None: neither is usable, and the engine's general one stands in.
    """
    if stored is None or (is_go_template(stored) and why_unusable(stored) is not None):
        return own
    return stored
