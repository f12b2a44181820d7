"""Tells Go's template language, which Ollama's models are written for, from Jinja. Pure."""

import re

_GO_ACTION = re.compile(
    r"\{\{-?\s*(?:\.|\$|if\s+(?:\.|\$|or\b|and\b|not\b|eq\b|ne\b|gt\b|lt\b|len\b|\()"
    r"|range\b|with\b|end\s*-?\}\}|else\b|define\b|template\b|block\b|slice\b|json\b)"
)


def is_go_template(text: str) -> bool:
    """`text` is a template of Ollama's own kind, which the engine does not run.

    >>> is_go_template("{{ if .System }}{{ .System }}{{ end }}")
    True
    >>> is_go_template("{% for message in messages %}{{ message.content }}{% endfor %}")
    False
    """
    return "{%" not in text and _GO_ACTION.search(text) is not None


def effective_template(stored: str | None, own: str | None) -> str | None:
    """The template that will be used: what is stored with the name, unless it is Go's.

    None: neither is usable, and the engine's general one stands in.
    """
    return stored if stored is not None and not is_go_template(stored) else own
